"""Names of files and folders with characters that a shell, make, Hydra or YAML treats specially."""

from __future__ import annotations

FOLDER_NAMES = (
    *("my data", " leading", "müller", "日本語", "🙂", "d (2)", "(1)", "[1]", "{x}", "<x>", "a=1", "=", "c#", "@home"),
    *("it's", "'quoted", 'say "hi"', '"', "a;b", "a&b", "a|b", "$HOME", "`x`", "!x", "*?", "%20", "a+b", "-x", "^"),
    *("back\\slash", "ends\\", "\\'", "tab\tx", "123", "1e3", "true", "off", "key: value", "a.b", "..x", "~x/../y"),
)
WITH_COMMAS = ("a,b", "choice(a,b)", "range(3)", ",")
HARD_NAME = 'Jürgen\'s "data" (2) #1 = {a,b} [x] 100% @ home; $HOME & ~'
