"""What classical models share: they need no training, and a few come in several variants."""

from salbench.registry import MethodProblem, SaliencyMethod
from salbench.suggestions import suggestion


class Classical(SaliencyMethod):
    """Base of the classical models.

    Attributes:
        options: names of the model's variants, the default first; empty if it has none. `option` is the chosen one.
    """

    group = "classical"
    options: tuple[str, ...] = ()

    def __init__(self, option: str = "") -> None:
        """Choose a variant of the model, such as "lab" in image_signature:lab.

        Raises:
            MethodProblem: there is no such variant.
        """
        if option and option not in self.options:
            raise MethodProblem(f"{self.name}: {suggestion('variant', option, self.options)}")
        self.option = option or next(iter(self.options), "")
        self.variant = "" if self.option in self.options[:1] else self.option
