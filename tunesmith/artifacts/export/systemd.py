"""`systemd`: a unit that serves the artifact."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from tunesmith.artifacts.export._service import ServiceExport
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Exported, register_export
from tunesmith.errors import UsageError, shown
from tunesmith.options import option

__all__ = ["Systemd"]

_FILE = """\
# Install:  cp {name}.service /etc/systemd/system/ && systemctl enable --now {name}
# After a new artifact is in place:  systemctl reload {name}
[Unit]
Description=tunesmith serve {title}
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart={start}
ExecReload=/bin/kill -HUP $MAINPID
{token}Environment=TUNESMITH_HOME=%S/{name}
{user}
StateDirectory={name}
Restart=on-failure
RestartSec=5
# Requests under way get 30 seconds after SIGTERM.
TimeoutStopSec=45
NoNewPrivileges=yes
PrivateTmp=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictSUIDSGID=yes

[Install]
WantedBy=multi-user.target
"""

_ABOUT_USER = (
    "The user of the unit has to be able to read {path}, and a saved artifact is readable by its owner alone: give "
    "`user`, or run `chmod -R a+rX` on a copy."
)


@register_export
@dataclass(frozen=True)
class Systemd(ServiceExport):
    """A unit of systemd that serves the artifact."""

    name: ClassVar[str] = "systemd"
    host: str = option("127.0.0.1", "The address that it listens at; any but loopback needs `token_file`.")
    token_file: str | None = option(None, "File with the token, which only root has to be able to read.")
    user: str | None = option(None, "The user that it runs as. Default: one that systemd makes for it.")
    executable: str = option("/usr/local/bin/tunesmith", "Where tunesmith is installed.")

    def files(self, source: Source) -> Exported:
        """Return `NAME.service`."""
        artifact = source.saved(self.name)
        for name, path in (("executable", self.executable), ("token_file", self.token_file)):
            if path is not None and not PurePosixPath(path).is_absolute():
                raise UsageError(f"`{name}` must be an absolute path. Given: {shown(path)}.")
        if self.token_file is None and not _is_loopback(self.host):
            raise UsageError(
                f"Without a token, only this machine may reach the service. Given: host {shown(self.host)}. Give "
                "`token_file`, or leave `host` at 127.0.0.1."
            )
        # The service reads a copy that systemd makes, so that its user needs no right to the file itself.
        token = "" if self.token_file is None else f"LoadCredential=token:{_escaped(self.token_file)}\n"
        copied = None if self.token_file is None else "\0"
        arguments = self.command(str(artifact.path), self.host, copied, source.allow)
        start = " ".join('"%d/token"' if one == "\0" else _quoted(one) for one in (self.executable, *arguments))
        name = re.sub(r"[^A-Za-z0-9]+", "-", source.title).strip("-") or "program"
        name = f"tunesmith-{name}"
        user = "DynamicUser=yes" if self.user is None else f"User={_user(self.user)}"
        text = _FILE.format(user=user, name=name, title=name.removeprefix("tunesmith-"), start=start, token=token)
        return Exported({f"{name}.service": text}, (_ABOUT_USER.format(path=repr(str(artifact.path))),))


def _user(name: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,30}", name) is None:
        raise UsageError(f"`user` must be the name of a user. Given: {shown(name)}.")
    return name


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _quoted(text: str) -> str:
    """Return an argument in the way of systemd, where `%` and `$` stand for values."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise UsageError(f"A unit of systemd cannot hold a control character. Given: {shown(text)}.")
    return text.replace("%", "%%")
