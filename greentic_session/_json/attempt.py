"""Detection of an attempt that a text writes as -0.

The reference refuses that, for u32 has no such number; msgspec reads 0.
"""

import re

import msgspec

__all__ = ["is_negative_zero"]

# The beginning of a text as the reference and we write it: fields that are strings or flat objects,
# then the attempt. It needs no closer look.
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_FRONT, _ATTEMPT = b'{"tenant_ctx":{', b'"attempt":0'
_USUAL = re.compile(
    rb'{"tenant_ctx":{(?:"\w+":(?:S|{(?:S:(?:S|-?\d+),?)*+}),)*+"attempt":0[,}]'.replace(b"S", _STRING), re.DOTALL
)


class _TenantCtx(msgspec.Struct):
    attempt: msgspec.Raw


class _SessionData(msgspec.Struct):
    tenant_ctx: _TenantCtx


_DECODER = msgspec.json.Decoder(_SessionData)


def is_negative_zero(text: bytes) -> bool:
    """Say whether the attempt in the text of a decoded session with attempt 0 is -0."""
    end = text.find(b"}")
    if text.endswith(_ATTEMPT, 0, end) and text.startswith(_FRONT) and text.find(b"{", len(_FRONT), end) < 0:
        return False  # the last field of the tenant context itself: nothing was opened or closed before it
    if _USUAL.match(text):
        return False
    try:
        return bytes(_DECODER.decode(text).tenant_ctx.attempt).startswith(b"-")
    except RecursionError:  # an unknown field of any depth: look at the field itself
        return re.search(rb'"attempt"\s*:\s*-0', text) is not None
