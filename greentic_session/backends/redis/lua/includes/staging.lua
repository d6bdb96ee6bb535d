-- Large texts pass by Lua, which would copy and hash every byte.
--
-- One on its way in has been SET by the client, in the same write, under {ns}:staged:{nonce}, with
-- a life of seconds; a script that has decided RENAMEs it (store_text.lua). One on its way out is
-- copied to such a key, and the client reads and deletes that by the next command of the same write
-- (answer_text.lua). So these keys mean nothing to anybody else, and where a client dies they end
-- by themselves.
-- @include record
-- @inline
local STAGED_BYTES, STAGED_MS = 2048, '5000' -- from so many bytes on, for so long; as in staging.py
