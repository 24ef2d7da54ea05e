"""Models of an Ollama server that another machine answers for: their names, and the error without `cloud=True`."""

from tunesmith.errors import ModelError
from tunesmith.lm.engine import missing_model

__all__ = ["cloud_model_refused", "is_cloud_name", "is_cloud_tag"]


def is_cloud_tag(name: str) -> bool:
    """Return whether the tag says that the model runs in the cloud: `gpt-oss:120b-cloud`, `kimi:cloud`.

    Nobody but Ollama names models so: the server that gets this name hands the request on.
    """
    name, colon, tag = name.strip().casefold().rpartition(":")
    return bool(colon) and (tag == "cloud" or tag.endswith("-cloud"))


def is_cloud_name(name: str) -> bool:
    """Return whether the name of a model on an Ollama server says that it runs in the cloud, with a tag or without."""
    return is_cloud_tag(name) or name.strip().casefold().endswith("-cloud")


def cloud_model_refused(name: str) -> ModelError:
    """Return the error for a cloud model that the user did not allow."""
    return missing_model(
        f"The model {name!r} runs in the cloud: your texts would leave this machine. If you mean that, say "
        "`cloud=True` in `ts.lm(...)`, or `cloud = true` under [lm]; else choose a model that runs on your server."
    )
