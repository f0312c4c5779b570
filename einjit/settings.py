"""What the environment says, read once."""

import logging
import os
from dataclasses import dataclass

logger = logging.getLogger("einjit")


@dataclass(frozen=True, slots=True)
class Settings:
    """`EINJIT_STRICT=1`: raise where a call would fall back to numpy or warn.
    `EINJIT_LOG`: a level of the standard library's logging, as in `EINJIT_LOG=debug`.
    """

    strict: bool = False

    @classmethod
    def from_environment(cls) -> "Settings":
        level = os.environ.get("EINJIT_LOG")
        if level:
            logging.basicConfig()
            logger.setLevel(level.upper())
        return cls(strict=os.environ.get("EINJIT_STRICT", "0") not in ("", "0"))


settings = Settings.from_environment()
