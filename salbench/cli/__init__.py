"""The command line: `salbench VERB ...`. Each module here is a verb, unless its name starts with an underscore.

To add a verb, write one module with these five parts. Nothing else has to change.

    \"\"\"One line for `salbench --help`. The paragraphs below it are the verb's description.\"\"\"

    USAGE = "[options]"  # what follows `salbench VERB` in its help
    EXAMPLES = ("salbench VERB --dataset osie_test",)

    def add_options(parser: argparse.ArgumentParser) -> None: ...

    def execute(options: argparse.Namespace) -> int: ...  # exit status

Help must appear at once, so a module imports what it needs inside `execute`.
"""

from salbench.cli._main import main, parser, verbs

__all__ = ["main", "parser", "verbs"]
