"""The project file: names program, metric, data, model and compiler, so that verbs need no arguments."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tunesmith.compilers import Compiler, check_values, compiler_named, compilers, read_option
from tunesmith.data import Dataset, Splits, as_settings
from tunesmith.errors import DataError, TunesmithError, UsageError, shown
from tunesmith.evaluation import DaskExecutor, Executor
from tunesmith.experiments.checking import checked_settings
from tunesmith.experiments.layers import FileLayer, Layer, NamedLayer, Place, effective, environment_layer, place_of
from tunesmith.experiments.named import find_metric, find_object, find_program, find_signature
from tunesmith.experiments.place import PROJECT_FILE, project_file, project_root
from tunesmith.experiments.settings import AXES, ExperimentSettings, ProgramSettings, ProjectSettings
from tunesmith.experiments.toml_lines import Keys
from tunesmith.lm import LM, Budget, lm
from tunesmith.metrics import Metric
from tunesmith.modules import Module, ProgramInputs, program_inputs
from tunesmith.options import option_defaults

__all__ = ["NO_TRAINING_DATA", "Project"]

NO_TRAINING_DATA = "There is no training data. Pass --train FILE, or name it under [data] in tunesmith.toml."
_TOML_PLACE = re.compile(r"(.*) \(at line (\d+), column (\d+)\)", re.DOTALL)
_FLAGS = {("lm", "spec"): "--lm"}


@dataclass(frozen=True, slots=True)
class Project:
    """A project file with the folder it is in, and what comes before the file.

    Environment variables come before the file, and options of the command line before both. Nothing that they name is
    imported or read before it is asked for.

    Attributes:
        root: the folder that paths and modules start from.
        settings: what all together say.
        path: the file, `None` if there is none and options said everything.
        layers: what each place says, the later before the earlier.
    """

    root: Path
    settings: ProjectSettings
    path: Path | None = None
    layers: tuple[Layer, ...] = ()

    @classmethod
    def load(cls, path: str | Path | None = None) -> "Project":
        """Read a project file and the environment.

        Args:
            path: the file or its folder; by default the first `tunesmith.toml` in this folder and those above.

        Raises:
            UsageError: there is no such file, or something in it is wrong; names file, line and key.
        """
        if path is None:
            found = cls.find()
            if found is None:
                raise UsageError(
                    f"There is no {PROJECT_FILE} in {Path.cwd()} or above. Write a project with `tunesmith init`."
                )
            return found
        file = Path(path) / PROJECT_FILE if Path(path).is_dir() else Path(path)
        return cls._of(file.parent, file)

    @classmethod
    def find(cls) -> "Project | None":
        """Return the project of this folder or of one above, `None` if there is none.

        Raises:
            UsageError: the file that was found is wrong.
        """
        file = project_file()
        return None if file is None else cls._of(project_root(), file)

    @classmethod
    def without_file(cls) -> "Project":
        """Return a project of this folder of which only the environment says something.

        Raises:
            UsageError: a variable that cannot be.
        """
        return cls._of(Path(), None)

    @classmethod
    def _of(cls, root: Path, file: Path | None) -> "Project":
        said = environment_layer(os.environ)
        layers = (said,) if file is None else (_file_layer(file), said)
        found = cls(root, ProjectSettings(), file)._with(layers)
        for name in found.settings.experiments:
            found.of_experiment(name)  # so that a mistake in one is told
        return found

    def _with(self, layers: Sequence[Layer]) -> "Project":
        return replace(self, settings=checked_settings(effective(layers)), layers=tuple(layers))

    def changed(self, **settings: Any) -> "Project":
        """Return the project with settings replaced as options of the command line do it.

        A table is a mapping, as in `compile={"seed": 2}`; a value of `None` leaves the setting as it is.

        Raises:
            UsageError: a setting that cannot be.
        """
        values: dict[str, Any] = {}
        names: dict[Keys, str] = {}
        for name, value in settings.items():
            if isinstance(value, Mapping):
                given = {key: one for key, one in value.items() if one is not None}
                names |= {(name, key): _FLAGS.get((name, key), _flag(key)) for key in given}
                values |= {name: given} if given else {}
            elif value is not None:
                values[name], names[(name,)] = value, _flag(name)
        return self._with((*self.layers, NamedLayer("flag", values, names))) if values else self

    def with_options(self, given: Sequence[str]) -> "Project":
        """Return the project with options of its compiler replaced, each written `name=value`.

        Raises:
            UsageError: one is not written so, or is not an option of the compiler, or cannot have this value.
        """
        kind, found = self._compiler_kind(), dict[str, Any]()
        for text in given:
            name, equals, value = text.partition("=")
            if not equals:
                raise UsageError(f"`--set` takes `option=value`, as in `--set num_candidates=8`. Given: {shown(text)}.")
            found[name.strip()] = read_option(kind, name.strip(), value.strip())
        if not found:
            return self
        names: dict[Keys, str] = {("compile", name): "--set" for name in found}
        return self._with((*self.layers, NamedLayer("flag", {"compile": found}, names)))

    def place(self, *path: str | int) -> Place:
        """Return where the setting at `path` comes from, as in `place("compile", "seed")`."""
        return place_of(path, effective(self.layers))

    def of_experiment(self, name: str) -> "Project":
        """Return the project with the settings of `[experiments.NAME]` before those of the rest of the file.

        Raises:
            UsageError: a setting that cannot be.
        """
        file, *others = self.layers
        assert isinstance(file, FileLayer)  # who knows the name has a file
        table = file.values["experiments"][name]
        said = {key: value for key, value in table.items() if key not in AXES}
        return self._with((file, replace(file, values=said, below=("experiments", name)), *others))

    def of_cell(self, name: str, said: Mapping[str, Any], places: Mapping[Keys, Keys]) -> "Project":
        """Return the project with what one cell of the experiment `name` says before everything else.

        Args:
            name: of the experiment.
            said: settings, as tables of the file.
            places: where they stand in the table of the experiment.

        Raises:
            UsageError: a setting that cannot be.
        """
        file = self.layers[0]
        names = {key: str(file.place(("experiments", name, *path))) for key, path in places.items()}
        return self._with((*self.layers, NamedLayer("file", said, names)))

    def resolved(self) -> dict[str, tuple[Any, Place]]:
        """Return every setting by its dotted name, with where it comes from; the options of a compiler of ours too."""
        found: dict[str, tuple[Any, Place]] = {}
        kind = compilers().get(self.settings.compile.compiler)
        options = {} if kind is None else option_defaults(kind)
        layers = effective(self.layers)
        for name, value in self.settings:
            table = dict(value) if isinstance(value, BaseModel | dict) else {"": value}
            rest = {key: one for key, one in options.items() if name == "compile" and key not in table}
            for key, one in {**table, **rest}.items():
                path = (name, key) if key else (name,)
                bare = isinstance(one, ExperimentSettings)
                plain = one.model_dump(exclude_none=True, exclude_unset=bare) if isinstance(one, BaseModel) else one
                found[".".join(path)] = plain, place_of(path, layers)
        return found

    def program(self) -> Module:
        """Import and return the program.

        Raises:
            UsageError: none is named, or it cannot be had.
        """
        if self.settings.program is None:
            raise UsageError(
                self._missing("program", "program = 'module:attr'", "name one as `module:attr` or `question -> answer`")
            )
        with self._told("program"):
            return find_program(self.settings.program, self.root)

    @property
    def program_name(self) -> str:
        """The program as it is named, of a declared one its signature; empty if there is none."""
        named = self.settings.program
        return named or "" if not isinstance(named, ProgramSettings) else " ".join(named.signature.split())

    def metric(self) -> Metric:
        """Import and return the metric.

        Raises:
            UsageError: none is named, or it cannot be had.
        """
        if self.settings.metric is None:
            raise UsageError(
                self._missing("metric", "metric = 'module:attr'", "pass --metric, for instance exact_match:field")
            )
        with self._told("metric"):
            return find_metric(self.settings.metric, self.root)

    def inputs(self, program: Module) -> ProgramInputs:
        """Return what the data must hold: as `[data]` says, else as the program asks for.

        Raises:
            UsageError: neither says it.
        """
        data = self.settings.data
        if data.signature is not None:
            with self._told("data", "signature"):
                return ProgramInputs.of(find_signature(data.signature, self.root))
        if data.inputs is not None:
            return ProgramInputs(tuple(data.inputs))
        return program_inputs(program)

    def read(self, path: str | Path, program: Module) -> Dataset:
        """Read one data file for `program`.

        Raises:
            UsageError, DataError: it cannot be read, or a row does not fit.
        """
        needed, data = self.inputs(program), self.settings.data
        try:
            return Dataset.load(
                path,
                signature=needed.signature,
                inputs=needed.names if needed.signature is None else None,
                columns=data.columns,
                delimiter=data.delimiter,
                encoding=data.encoding,
                group=data.related,
            )
        except (DataError, UsageError) as error:
            lines = [f"`{line}`" for line in as_settings(str(error))]
            if lines:
                error.add_note(f"In {PROJECT_FILE} such an option stands under [data], as in {' or '.join(lines)}.")
            raise

    def data(self, program: Module) -> Splits:
        """Read the data; a split that is not named is `None`.

        Raises:
            UsageError, DataError: it cannot be read, or a row does not fit.
        """
        data = self.settings.data
        if data.file is not None and data.split is not None:
            with self._told("data", "file"):
                whole = self.read(self.root / data.file, program)
            with self._told("data", "split"):
                return whole.split(**data.split.model_dump())
        return Splits(**{name: self._part(name, program) for name in ("train", "val", "test")})

    def splits(self, program: Module) -> Splits:
        """Read the data of a compile, as `data`.

        Raises:
            UsageError, DataError: as `data`, or there is none to train with.
        """
        found = self.data(program)
        if found.train is None:
            raise UsageError(NO_TRAINING_DATA)
        return found

    def _part(self, name: str, program: Module) -> Dataset | None:
        given = getattr(self.settings.data, name)
        if given is None:
            return None
        with self._told("data", name):
            return self.read(self.root / given, program)

    def bad_cases(self, program: Module) -> Dataset | None:
        """Read the bad cases, `None` if no file is named.

        Raises:
            UsageError, DataError: it cannot be read, or a row does not fit.
        """
        return self._part("bad_cases", program)

    def compiler(self, metric: Metric) -> Compiler:
        """Return the compiler with its options and the budget.

        Raises:
            UsageError: an option that this compiler does not take.
        """
        table, kind = self.settings.compile, self._compiler_kind()
        options: dict[str, Any] = {}
        for name, value in table.options.items():
            with self._told("compile", name):
                options |= check_values(kind, {name: value})
        return kind(metric=metric, budget=self.budget(), slots=table.slots, seed=table.seed, **options)

    def _compiler_kind(self) -> type[Compiler]:
        with self._told("compile", "compiler"):
            return compiler_named(self.settings.compile.compiler, lambda name: find_object(name, self.root))

    def compile_arguments(self, program: Module, splits: Splits, bad_cases: Dataset | None = None) -> dict[str, Any]:
        """Return the arguments of `compile_program`, and of `plan`, that need no model.

        Args:
            program: the program.
            splits: its data.
            bad_cases: default those of the project.

        Raises:
            UsageError, DataError: something that is named cannot be had.
        """
        metric, table = self.metric(), self.settings.compile
        return {
            "program": program,
            "metric": metric,
            "trainset": splits.train,
            "valset": splits.val,
            "testset": splits.test,
            "bad_cases": self.bad_cases(program) if bad_cases is None else bad_cases,
            "compiler": self.compiler(metric),
            "budget": self.budget(),
            "freeze": table.freeze,
            "protect": table.protect,
            "seed": table.seed,
        }

    def model(self, *, store: bool = True) -> LM:
        """Return the model. Without `store`, the cache is neither read nor written.

        Raises:
            UsageError: none is named, or it cannot be used.
            ModelMissing: the weight file is missing.
        """
        settings = self.settings.lm
        if settings.spec is None:
            there = "" if self.path else " (there is none in this folder or above it)"
            raise UsageError(
                f"There is no model. Pass --lm SPEC, set TUNESMITH_LM, or write `spec` under [lm] in {PROJECT_FILE}"
                f"{there}. A spec is `embedded`, `gguf:<path>` or `<provider>/<model>`."
            )
        with self._told("lm", "spec"):
            return lm(settings.spec, cache=store, **settings.options())

    def role(self, name: str, *, store: bool = True) -> LM | None:
        """Return the model of a role, `None` if none is named.

        If an option or a variable names the model of `[lm]` for the role, it has the options there.

        Args:
            name: of the table: `prompt_lm`, `teacher_lm` or `judge_lm`.
            store: whether the cache is read and written.

        Raises: the errors of `model`.
        """
        own, common = getattr(self.settings, name), self.settings.lm
        if own.spec is None:
            return None
        named = common if own.spec == common.spec and self.place(name, "spec").kind != "file" else own
        with self._told(name, "spec"):
            return lm(own.spec, cache=store, **named.options())

    def budget(self) -> Budget:
        """Return what a compile may be charged."""
        table = self.settings.compile
        return Budget(calls=table.budget_calls, tokens=table.budget_tokens, seconds=table.budget_seconds)

    def executor(self) -> str | Executor | None:
        """Return where examples run, `None` if nothing is said.

        Raises:
            UsageError: a scheduler is named, and an executor that has none.
        """
        table = self.settings.compile
        if table.dask is None:
            return table.executor
        if table.executor not in (None, DaskExecutor.name):
            raise UsageError(
                f"The executor is {shown(table.executor)} ({self.place('compile', 'executor')}), and `dask` names a "
                f"scheduler ({self.place('compile', 'dask')}). Leave one of them out, or say `--executor dask`."
            )
        return DaskExecutor(table.dask)

    def _missing(self, what: str, line: str, option: str) -> str:
        if self.path is None:
            place = f"no {PROJECT_FILE} is in this folder or above it; `tunesmith init` writes one"
        else:
            place = f"{self.path} names none"
        return f"There is no {what}: {place}. Write `{line}` into {PROJECT_FILE}, or {option}."

    @contextmanager
    def _told(self, *path: str) -> Iterator[None]:
        """Add to an error where the setting stands that it is about; who gave an option knows it."""
        try:
            yield
        except TunesmithError as error:
            place = self.place(*path)
            if place.kind in ("file", "environment"):
                error.add_note(f"`{'.'.join(path)}` stands in {place}.")
            raise


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _file_layer(file: Path) -> FileLayer:
    name = file.name if file.parent in (Path(), Path.cwd()) else str(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
        return FileLayer(name, tomllib.loads(text), text)
    except OSError as error:
        raise UsageError(f"The project file {shown(str(file))} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    except RecursionError:
        raise UsageError(f"{name}: values are nested too deeply.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_syntax_problem(str(error), name)) from error


def _syntax_problem(text: str, name: str) -> str:
    found = _TOML_PLACE.fullmatch(text)
    where, problem = (name, text) if found is None else (f"{name}, line {found[2]}", f"{found[1]} (column {found[3]})")
    quotes = " A text stands in quotes." if "Invalid value" in text else ""
    return f"{where}: this is not TOML: {problem}.{quotes}"
