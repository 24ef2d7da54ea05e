"""`docker`: a Dockerfile with the artifact beside it."""

import json
import re
from dataclasses import dataclass
from typing import ClassVar

from tunesmith.artifacts.export._service import ServiceExport, is_embedded, version
from tunesmith.artifacts.export._source import Source
from tunesmith.artifacts.export._target import Exported, register_export
from tunesmith.artifacts.folder import read_files
from tunesmith.errors import UsageError, shown
from tunesmith.options import option

__all__ = ["Docker"]

_TOKEN = "/run/secrets/tunesmith-token"
_FILE = """\
# Build:  docker build --tag {name} .
# Run:    docker run --rm --publish 127.0.0.1:{port}:{port} \\
#             --volume "$PWD/token:{token}:ro" {name}
# The file `token` holds at least 16 characters, and the user 10001 has to be able to read it. Clients send it as
# `Authorization: Bearer TOKEN`. A model on an Ollama server of this machine: add
# `--add-host host.docker.internal:host-gateway --env OLLAMA_HOST=http://host.docker.internal:11434`.
FROM python:{python}-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/tunesmith tunesmith
{libraries}RUN pip install --no-cache-dir {package}
ENV TUNESMITH_HOME=/var/lib/tunesmith/home PYTHONUNBUFFERED=1
USER tunesmith
WORKDIR /var/lib/tunesmith
{weights}COPY --chown=tunesmith:tunesmith artifact /srv/artifact
EXPOSE {port}
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD {health}
# In a container the service listens at every address, so that it does not start without a token.
ENTRYPOINT {entry}
"""
# llama.cpp computes with OpenMP, which the slim images of Python lack.
_LIBRARIES = """\
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
"""


@register_export
@dataclass(frozen=True)
class Docker(ServiceExport):
    """A Dockerfile that serves the artifact, with the artifact beside it."""

    name: ClassVar[str] = "docker"
    python: str = option("3.12", "Version of Python.")
    package: str | None = option(None, "What pip installs. Default: this version of `tunesmith[serve]`.")

    def files(self, source: Source) -> Exported:
        """Return `Dockerfile`, and the files of `artifact/`."""
        artifact = source.saved(self.name)
        if re.fullmatch(r"3\.\d+(\.\d+)?", self.python) is None:
            raise UsageError(f"`python` must be a version such as 3.12. Given: {shown(self.python)}.")
        embedded = is_embedded(artifact, self.lm)
        # Not urllib: Docker gives a container the proxy of its user, and urllib would ask that for this address.
        connection = f"http.client.HTTPConnection('127.0.0.1', {self.port}, timeout=3)"
        asked = f"import http.client; c = {connection}; c.request('GET', '/healthz')"
        test = f"{asked}; raise SystemExit(c.getresponse().status != 200)"
        name = re.sub(r"[^a-z0-9]+", "-", source.title.lower()).strip("-") or "program"
        text = _FILE.format(
            name=name,
            port=self.port,
            token=_TOKEN,
            python=self.python,
            package=_quoted(self._package(embedded=embedded)),
            libraries=_LIBRARIES if embedded else "",
            weights="RUN tunesmith models pull embedded\n" if embedded else "",
            health=json.dumps(["python", "-c", test]),
            entry=json.dumps(["tunesmith", *self.command("/srv/artifact", "0.0.0.0", _TOKEN, source.allow)]),
        )
        files = {name: raw.decode() for name, raw in read_files(artifact.path).items()}
        notes = ["Files that the artifact names, such as a corpus, and your own classes are not copied."]
        return Exported({"Dockerfile": text, **{f"artifact/{name}": text for name, text in files.items()}}, (*notes,))

    def _package(self, *, embedded: bool) -> str:
        if self.package is not None:
            return self.package
        own = version()
        return f"tunesmith[serve{',embedded' if embedded else ''}]" + (f"=={own}" if own else "")


def _quoted(text: str) -> str:
    if re.search(r"[\x00-\x1f'\\]", text):
        raise UsageError(f"`package` must be one name, path or address for pip. Given: {shown(text)}.")
    return f"'{text}'"
