-- Count what is accepted, for whoever asks how many replies a second come in: for a day, then it
-- begins anew. Not on a cluster, where that would be a key for each user.
-- Reads  call
if not in_slot() and call('INCR', ns .. ACCEPTED) == 1 then call('PEXPIRE', ns .. ACCEPTED, '86400000') end
