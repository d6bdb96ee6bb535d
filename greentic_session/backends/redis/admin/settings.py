"""What is to be said of how a Redis is set up: sessions are data, not a cache."""

from collections.abc import Mapping
from typing import Final

from greentic_session._redis.client import RedisClient
from greentic_session.admin import Setting
from greentic_session.errors import InternalError, PermissionDeniedError

__all__ = ["judge", "read_settings"]

_OLDEST: Final = (6, 2)
_TRAILS: Final = ("save", "appendfsync")
"""What INFO does not tell."""


async def read_settings(client: RedisClient) -> list[Setting]:
    """Ask one server, and judge what it says. Not to be allowed to ask is a warning.

    Raises:
        GreenticError: The server failed.
    """
    try:
        text: bytes = await client.call(("INFO",), repeatable=True)
    except PermissionDeniedError:
        return [_unknown("settings", "INFO", "+info")]
    info = dict(line.split(":", 1) for line in text.decode("utf-8", "replace").splitlines() if ":" in line)
    return judge(info, {name: await _config(client, name) for name in _TRAILS})


async def _config(client: RedisClient, name: str) -> str | None:
    try:
        found = await client.call(("CONFIG", "GET", name), repeatable=True)
    except (PermissionDeniedError, InternalError):  # managed servers have no CONFIG
        return None
    return found[1].decode("utf-8", "replace") if len(found) == 2 else None


def judge(info: Mapping[str, str], config: Mapping[str, str | None]) -> list[Setting]:
    """Return what is to be said of a server.

    Args:
        info: What INFO says.
        config: What CONFIG GET says of `save` and `appendfsync`; None where it says nothing.
    """
    return [_version(info), _role(info), _eviction(info), *_evicted(info), _persistence(info, config), *_failures(info)]


def _version(info: Mapping[str, str]) -> Setting:
    if "valkey_version" in info:
        return Setting(name="version", level="ok", value=f"Valkey {info['valkey_version']}")
    version = info.get("redis_version", "unknown")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers >= _OLDEST:
        return Setting(name="version", level="ok", value=f"Redis {version}")
    return Setting(name="version", level="warning", value=f"Redis {version}", advice="Use Redis 6.2 or later, or Valkey.")


def _role(info: Mapping[str, str]) -> Setting:
    role = info.get("role", "unknown")
    if role == "slave":
        advice = "Connect to its primary: a replica refuses writes, and may be behind."
        return Setting(name="role", level="warning", value="a replica", advice=advice)
    return Setting(name="role", level="ok", value="primary" if role == "master" else role)


def _eviction(info: Mapping[str, str]) -> Setting:
    policy, most = info.get("maxmemory_policy", "unknown"), info.get("maxmemory_human", "")
    limit = "without a limit" if info.get("maxmemory", "0") == "0" else f"of at most {most}"
    value = f"{policy}, memory {limit}"
    if policy == "noeviction":
        return Setting(name="eviction", level="ok", value=value)
    advice = "A full server drops somebody's paused flow: CONFIG SET maxmemory-policy noeviction, and in its file too."
    return Setting(name="eviction", level="warning", value=value, advice=advice)


def _evicted(info: Mapping[str, str]) -> list[Setting]:
    count = info.get("evicted_keys", "0")
    if count == "0":
        return []
    advice = "Sessions may be among them. Set maxmemory-policy noeviction, and give it memory enough."
    return [Setting(name="evicted", level="warning", value=f"{count} keys since the server began", advice=advice)]


def _persistence(info: Mapping[str, str], config: Mapping[str, str | None]) -> Setting:
    save, sync = config.get("save"), config.get("appendfsync")
    if info.get("aof_enabled") == "1":
        value = f"appendonly, fsync {sync}" if sync else "appendonly"
        if sync == "no":
            advice = "A power cut loses what the system has not written yet: CONFIG SET appendfsync everysec."
            return Setting(name="persistence", level="warning", value=value, advice=advice)
        return Setting(name="persistence", level="ok", value=value)
    value = {None: "no appendonly file", "": "off"}.get(save, "snapshots only")
    lost = "everything" if save == "" else "what was written since the last snapshot"
    advice = f"A restart loses {lost}: CONFIG SET appendonly yes, and in its file too."
    return Setting(name="persistence", level="warning", value=value, advice=advice)


def _failures(info: Mapping[str, str]) -> list[Setting]:
    failed = [
        what
        for field, what in (("rdb_last_bgsave_status", "snapshot"), ("aof_last_write_status", "appendonly file"))
        if info.get(field, "ok") != "ok"
    ]
    advice = "Look into the server's log and at its disk: it may refuse writes."
    return [
        Setting(name="disk", level="warning", value=f"the last write of the {what} failed", advice=advice) for what in failed
    ]


def _unknown(name: str, command: str, permission: str) -> Setting:
    value = f"not known: the Redis user may not call {command}"
    return Setting(name=name, level="warning", value=value, advice=f"Allow it with {permission}, or look at the server.")
