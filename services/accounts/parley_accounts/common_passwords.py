"""Passwords that are tried first by whoever guesses: runs, repetitions, and the words of every such list."""

_FEWEST_KINDS = 5
_RUNS = tuple(
    run + run[::-1]
    for run in (
        "01234567890123456789",
        "abcdefghijklmnopqrstuvwxyz",
        "qwertyuiopasdfghjklzxcvbnm",
        "qwertzuiopasdfghjklyxcvbnm",
        "azertyuiopqsdfghjklmwxcvbn",
        "1q2w3e4r5t6z7u8i9o0p",
        "1q2w3e4r5t6y7u8i9o0p",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    )
)
_LIST = """
password passwort passwd passw0rd p@ssword p@ssw0rd letmein welcome iloveyou trustno1 superman batman
princess sunshine football baseball basketball dragon monkey master shadow michael jennifer starwars
whatever computer internet changeme default administrator secret mustang pokemon liverpool chelsea
charlie jordan hunter freedom flower lovely hello helloworld qwerty qwertz azerty asdfgh zxcvbn abc
parley admin root guest user test testing temp login access
"""
_WORDS = frozenset(_LIST.split())
_AROUND = "0123456789!?.,:;-_*#+$%&/()= "


def is_common(password: str) -> bool:
    """Return whether a password is one of the first to be guessed."""
    text = password.casefold()
    if len(set(text)) < _FEWEST_KINDS or any(text in run for run in _RUNS):
        return True
    stem = text.strip(_AROUND)
    half = stem[: len(stem) // 2]
    return stem in _WORDS or (stem == half * 2 and half in _WORDS)
