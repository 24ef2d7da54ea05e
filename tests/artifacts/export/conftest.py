from pathlib import Path

import pytest

from tests.artifacts.export.tuning import Sent, agent_run, compiled


@pytest.fixture(scope="session")
def sent() -> Sent:
    """Every call of `colours`: messages and reply."""
    return set()


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory, sent: Sent) -> Path:
    """A run of a `Predict` with several candidates."""
    return compiled(tmp_path_factory.mktemp("runs") / "a run, ü", sent=sent)


@pytest.fixture(scope="session")
def called(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a `ReAct`."""
    return agent_run(tmp_path_factory.mktemp("runs") / "agent")
