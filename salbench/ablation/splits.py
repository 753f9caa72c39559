"""What an ablation trains on, what it is tested on, and the names of its folders."""

from dataclasses import dataclass

from salbench import datasets

PROTOCOL = "tuebingen"  # unless another one is given


class AblationProblem(ValueError):
    """An ablation that cannot be run, or not compared from the files in its folder. The message says what to do."""


@dataclass(frozen=True)
class Ablation:
    """What an ablation trains on, and how it is scored.

    Attributes:
        dataset: NAME, to train on NAME_train, or on NAME itself if it has no such split. "osie+augsal_contrast100"
            trains on osie_train and on a second data set; folder:X trains on the folder X_train.
        test: name of the data set to test on. None: the one that goes with NAME_train, or the folder X_test.
        protocol: name of the protocol.
    """

    dataset: str
    test: str | None = None
    protocol: str = PROTOCOL

    @property
    def trained_on(self) -> list[str]:
        """Names of the data sets to train on."""
        name, *more = self._names
        known = datasets.names()
        return [name if name in known and f"{name}_train" not in known else f"{name}_train", *more]

    @property
    def usual_test(self) -> str | None:
        """Name of the data set that NAME_train names for testing, or of the folder X_test; None if there is none."""
        name = self._names[0]
        if name.startswith("folder:"):
            return f"{name}_test"
        return datasets.get(f"{name}_train").test if f"{name}_train" in datasets.names() else None

    @property
    def tested_on(self) -> str:
        """Name of the data set to test on.

        Raises:
            AblationProblem: no data set to test on is given, and there is no usual one.
        """
        name = self.test or self.usual_test
        if name is None:
            pairs = [each for each in datasets.names() if each.endswith("_train") and datasets.get(each).test]
            known = sorted(each.removesuffix("_train") for each in pairs)
            raise AblationProblem(
                f"--dataset: expected a data set with splits to train and to test on, {', '.join(known)}, or folder:X "
                f"for the folders X_train and X_test, got {self.dataset}; --test names another one to test on"
            )
        return name

    @property
    def checkpoints(self) -> str:
        """Name of the folder for checkpoints. Trainings do not depend on the test."""
        return f"{datasets.results_name(self.dataset)}_ablation"

    @property
    def folder(self) -> str:
        """Name of the folder for results. Those of another test split or protocol have a folder of their own."""
        return "-".join([self.checkpoints, *self._unusual().values()])

    @property
    def title(self) -> str:
        """The data set, with the test split and the protocol unless they are the usual ones."""
        unusual = [f"{what} {name}" for what, name in self._unusual().items()]
        return datasets.results_name(self.dataset) + (f" ({', '.join(unusual)})" if unusual else "")

    @property
    def _names(self) -> list[str]:
        return [self.dataset] if self.dataset.startswith("folder:") else self.dataset.split("+")

    def _unusual(self) -> dict[str, str]:
        unusual = {}
        if self.test and self.test != self.usual_test:
            unusual["tested on"] = datasets.results_name(self.test)
        if self.protocol != PROTOCOL:
            unusual["protocol"] = self.protocol
        return unusual
