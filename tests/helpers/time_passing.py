"""Time that passes on a Redis when the test says so."""

# Time passes on a server when every lifetime gets shorter.
PASS_TIME = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 then redis.call('PEXPIRE', key, ttl - ARGV[1]) end
end
"""
UNIT = 10_000.0
"""Seconds: against lifetimes of hours, the time that an example takes is nothing."""
