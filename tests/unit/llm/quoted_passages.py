"""Passages that the quoting cases are asked over: file name, heading, text."""

REMOVAL = (
    "packages.md",
    "Packages > Removing",
    "Installed packages can be taken away again in two ways. The `remove` command deletes the program but\n"
    "leaves its configuration files behind, e.g. those under /etc. To delete the configuration files as\n"
    "well, use `pkg purge NAME`. Dependencies that nothing else needs stay until you run `pkg autoremove`.",
)
PINNING = (
    "packages.md",
    "Packages > Pinning",
    "A pinned package keeps its version. Pin priorities above 1000 allow downgrades. The file\n"
    "/etc/pkg/preferences holds the pins, one stanza a package.",
)
BATTERY = (
    "kettle-manual.pdf",
    "Care",
    "Descale the kettle once a month when your water is hard. Fill it with one part vinegar and two parts\n"
    "water, boil, and let it stand for 20 minutes. Rinse three times before the next use.\n"
    "The kettle switches itself off after 12 minutes without being lifted.",
)
EXIT_CODES = (
    "backup.txt",
    "EXIT STATUS",
    "The program returns one of these codes:\n"
    "\n"
    "- 0: every file was copied\n"
    "- 1: some files changed while they were read\n"
    "- 2: the destination is full or cannot be written\n"
    "\n"
    "Scripts should treat 1 as a warning.",
)
RETENTION = (
    "policy.html",
    "Retention",
    "Invoices are kept for ten years. Job applications of candidates who were not hired are erased after\n"
    "six months. Access logs are rotated weekly and kept for 90 days, cf. the security policy (Dr. Weber,\n"
    "ext. 12).\n"
    "Nobody may extend these periods without the approval of the data protection officer.",
)
FAQ = (
    "faq.txt",
    None,
    "How do I reset my password?\n"
    "Open Settings, choose Account and press Reset password. You get a mail with a link that works for one\n"
    "hour.\n"
    "\n"
    "How do I change my mail address?\n"
    "Ask an administrator. For safety reasons the address cannot be changed by yourself.",
)
LIMITS_TABLE = (
    "limits.md",
    "Limits",
    "Each plan has its own limits.\n"
    "\n"
    "| Plan | Storage | Upload size |\n"
    "|---|---|---|\n"
    "| Free | 5 GB | 25 MB |\n"
    "| Team | 200 GB | 500 MB |\n"
    "| Enterprise | unlimited | 5 GB |\n",
)
SERVICE_UNIT = (
    "services.md",
    "Services > Logging",
    "Messages of a unit go to the journal.\n"
    "\n"
    "To follow the log of one unit while it is written:\n"
    "\n"
    "    journalctl --follow --unit=NAME\n"
    "\n"
    "Old entries are dropped when the journal exceeds `SystemMaxUse=`, which is 10% of the file system by\n"
    "default.",
)
TURNS = (
    "turn-protocol.md",
    "The pen: one owner at a time",
    "Slot n is an acknowledged publish. Winning slot n makes its writer's epoch n. Only the service that\n"
    "holds the pen may write to a turn's events. The pen passes to the next writer when it wins the next\n"
    "slot: the runner hands it to the worker with the job, and gets it back after generation_finished [3].",
)
SUPPORT_FAQ = (
    "mixer-faq.txt",
    "Power > Does the mixer run on batteries?",
    "No, the mixer needs mains power. A battery pack is sold for the older model only.",
)
MIXER = (
    "mixer.pdf",
    "Overview",
    "The mixer runs quietly. Its filters are changed once a year. For more information about batteries and\n"
    "the mixer see the service manual.",
)
CLEANUP = (
    "layout.txt",
    None,
    "3.4. /cache : Data that can be made again\n"
    "Files in /cache may be deleted at any time.\n"
    "3.5. /var/cache/old : Archive\n"
    "Files here are never deleted, whatever time has passed.",
)
HOLDING = (
    "packages.html",
    "Packages > How do I hold a package?",
    "With the new tool, you can set a package to hold using\n\npkg-mark hold NAME\n\n"
    "All three tools read the same list of packages.",
)
STEPS = (
    "rules.txt",
    "Committee",
    "    1. The committee consists of up to nine members.\n"
    "    2. When there are fewer than nine members the chair may appoint one.\n"
    "    3. When there are four members or fewer the committee of members may",
)
LEAVING = (
    "overview.md",
    "Overview",
    "Questions come from a page, a terminal or a socket. An accepted question is stored before you are told\n"
    "so, its events are a log that can be replayed, and leaving the page does not stop the answer.\n"
    "\n"
    "make up                                  # installs what is missing, starts everything\n"
    'uv run --no-sync parley ask "Does leaving the page stop the answer?"\n'
    "\n"
    "The first command stays in the foreground.",
)
FENCED_LEAVING = (
    "overview.txt",
    "Overview",
    LEAVING[2].replace("make up  ", "```sh\nmake up  ").replace('answer?"\n', 'answer?"\n```\n'),
)
TERMINAL = (
    "overview.md",
    "Using it",
    "In the terminal. Every command has --help.\n"
    "\n"
    'uv run --no-sync parley ask "How do I stop everything?"        # one question\n'
    "uv run --no-sync parley chat                                   # a conversation, line by line\n"
    "\n"
    "The rest is told by the pages.",
)
STOPPING = (
    "operations.md",
    "Starting and stopping",
    "It stays in the foreground and stops everything in order on Ctrl-C; a second Ctrl-C kills what is left.",
)
EXAMPLES = (
    "examples.txt",
    None,
    "People have asked it things such as these.\n"
    "\n"
    '- "Does the kettle switch itself off?"\n'
    "- When is it cleaned?\n",
)
HOP_TABLE = (
    "hops.md",
    "Hops",
    "# | hop | what happens | file\n"
    "1 | client to edge | A frame is validated and its sender identified. | chat_socket.py\n"
    "2 | edge to bus | The turn gets an id and is stored. | turn_door.py\n"
    "\n"
    "What happens on a hop is written to the log.",
)
GLOSSARY = (
    "glossary.md",
    "Glossary",
    "seal | The ending of a turn. A record.\nstop | The stored wish that a turn end.",
)
ENDING = ("endings.md", "Endings", "The ending of a turn is one more slot, called the seal.")
HOPS = (
    "overview.md",
    "Hops of a question",
    "Each row is one hop. From the edge a question takes one more hop to the bus, then to a runner.",
)
HOPS_DRAWN = (
    "overview.md",
    "Drawing",
    "    =====v=====|=====v=====  question hop\n    ==^=====^==|==^=====^==  hop\n      |     |  |  |     |",
)
