"""Replacing parts of moto, loudly: a part that is not there ends the start instead of leaving a gap open."""

import inspect


class Gone(SystemExit):
    """moto is not the version that the patches were written for."""

    def __init__(self, what):
        super().__init__(f"emulator: {what}; requirements.txt pins the version of moto that the patches fit")


def existing(owner, name):
    """The part as it is, also as a descriptor of a class."""
    try:
        return inspect.getattr_static(owner, name)
    except AttributeError:
        raise Gone(f"{getattr(owner, '__name__', owner)} has no {name}") from None


def replaces(owner, name):
    """Decorates a function that makes the new part from the one before."""
    before = existing(owner, name)

    def install(make):
        setattr(owner, name, make(before))
        return make

    return install


def adds(owner, name):
    """Decorates a part that moto lacks. Once moto has it, the patch must go."""
    if hasattr(owner, name):
        raise Gone(f"{getattr(owner, '__name__', owner)} already has {name}, so this patch hides it")

    def install(part):
        setattr(owner, name, part)
        return part

    return install
