"""Word lists of the English language that matching needs: stop words, weak words, near-synonyms."""

_STOP_WORDS_TEXT = """
a about above after again against all also am an and any are aren't as at be because been before
being below between both but by can cannot could did do does doing done down during each either else
ever few for from further had has have having he her here hers him his how i if in into is it its
itself just kindly let like ll may me might mine more most must my myself no nor not now of off on
once one only onto or other our ours out over own per please re same shall she should so some such t
than that the their theirs them then there these they this those through to too under until up upon
us ve very via was we were what whatever when where whether which while who whom whose why will with
within without would yes many much you your yours yourself s d m don doesn didn isn wasn hello hi hey thanks
thank okay ok whats
"""
STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())

_WEAK_WORDS_TEXT = """
actual alway anoth answer anyth anything avail becom best bit bring call case chang come common
configur current describ detail differ document everi exact exampl explain find first general get
give go good happen help idea includ inform instead kind know let list long look lot main make mani
mean much necessari need never new normal often old order part peopl place point possibl provid put
question reason right say see seem set sever show someth sometim sort start still stuff sure take
tell thing time topic tri type use user usual want way word work write wrong
"""
WEAK_WORDS = frozenset(_WEAK_WORDS_TEXT.split())
"""Stems that many sentences hold whatever their subject; they count for less."""

SYNONYM_GROUPS = (
    "remove delete uninstall erase purge drop discard deinstall clean clear",
    "install setup deploy",
    "directory folder",
    "start launch run begin boot execute invoke",
    "stop quit halt terminate kill abort end exit shutdown",
    "show display print list view see",
    "keep store retain save preserve hold stay",
    "change modify edit alter adjust customize customise override",
    "create make generate build add",
    "fix repair solve correct resolve recover",
    "error failure fail fault problem bug crash",
    "allow permit enable let",
    "forbid disallow prohibit deny refuse disable block reject",
    "required mandatory must need necessary needed obligatory",
    "size large big length capacity",
    "limit maximum max most restrict cap",
    "minimum min least",
    "fast quick speed rapid performance latency",
    "update upgrade refresh renew",
    "fetch download retrieve get pull obtain",
    "upload send submit publish transmit push",
    "password passphrase secret credential",
    "mail email e-mail",
    "user account person people",
    "option flag switch parameter argument setting",
    "configure configuration config setting settings set setup",
    "command instruction program tool utility",
    "file document",
    "page sheet",
    "choose select pick",
    "check verify validate test inspect",
    "copy duplicate backup mirror clone replicate",
    "connect attach link join",
    "split divide separate partition",
    "wait delay pause sleep timeout",
    "purpose aim goal reason why role",
    "version release edition",
    "license licence copyright",
    "maintainer owner author developer",
    "rename move mv",
    "search find look locate query",
    "close shut",
    "old previous former earlier",
    "cost price fee charge pay",
    "buy purchase order",
    "rule policy regulation guideline",
    "job task work",
    "hired accepted employed",
    "rejected declined refused hired",
    "machine computer host server",
    "depend dependency require relation",
    "describe define explain mean definition",
    "owner own possess belong",
    "happen occur result",
)
"""Words that answer for each other in manuals, at a discount."""
