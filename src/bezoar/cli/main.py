"""Entry point of ``bezoar``: parse, run, and turn every user's error into one line and an exit code."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Union

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(words: list[str] | None = None) -> int:
    """Run one command; returns 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    import tyro
    from pydantic import ValidationError

    from bezoar import __version__
    from bezoar.cli.commands import commands
    from bezoar.cli.families import registry
    from bezoar.cli.usage import parsed
    from bezoar.core.machine import LostError
    from bezoar.core.settings import explain

    given = sys.argv[1:] if words is None else words
    about = "Attack, pre-train, clean and measure CLIP-style models under data poisoning and backdoors."
    if given in (["--version"], ["version"]):
        print(f"bezoar {__version__}")
        return DONE
    sys.path.append(os.getcwd())  # for kinds of the user's own, as my_method:MyMethod; last, so it hides nothing
    # Of several ranks the first one warns: the others see the same.
    quiet = os.environ.get("RANK", "0") != "0"
    logging.basicConfig(level=logging.ERROR if quiet else logging.WARNING, format="%(levelname)s: %(message)s")
    if not quiet:
        logging.getLogger("bezoar.models.opening").setLevel(logging.INFO)  # what a file was taken for
    verbs = [Annotated[cls, tyro.conf.subcommand(name, prefix_name=False)] for name, cls in commands()]
    union: Any = reduce(lambda a, b: Union[a, b], verbs)  # noqa: UP007
    try:
        command = parsed(
            lambda: tyro.cli(
                union,
                prog="bezoar",
                args=given,
                description=about,
                registry=registry(),
                config=(
                    tyro.conf.CascadeSubcommandArgs,
                    tyro.conf.OmitSubcommandPrefixes,
                    tyro.conf.FlagCreatePairsOff,
                    tyro.conf.DisallowNone,
                ),
            )
        )
        alone_unless_shared(command)
        command()
    except ValidationError as error:
        return _fail(explain(error), USAGE)
    except ValueError as error:
        return _fail(str(error), USAGE)
    except BrokenPipeError:
        # Whoever read the output has seen enough, as head does; the interpreter must not write to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except LostError as error:
        return _fail(f"{error}", FAILED, cause=False)
    except (FloatingPointError, RuntimeError, OSError) as error:
        return _fail(f"{error}", FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command continues", INTERRUPTED, cause=False)
    return DONE


def alone_unless_shared(command: object) -> None:
    """Raise ``ValueError`` where ``torchrun`` has started several processes of what one process does."""
    from bezoar.cli.commands import SHARED
    from bezoar.core.machine import rank_and_world

    if rank_and_world()[1] > 1 and not isinstance(command, SHARED):
        name = type(command).__name__.lower()
        raise ValueError(f"{name}: is done by one process; start it without torchrun")


def _fail(message: str, code: int, cause: bool = True) -> int:
    """Say what has ended this process; a ``cause`` is told to ``torchrun`` too, which names the earliest in the end."""
    from bezoar.core.machine import rank_and_world

    with contextlib.suppress(ValueError):
        rank, world = rank_and_world()
        message = message if world == 1 else f"rank {rank} of {world}: {message}"
    told = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if told and cause:
        with contextlib.suppress(OSError):
            Path(told).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))
    # What a file holds may stand in it, and must not steer a terminal.
    message = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in message)
    print(f"bezoar: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
