"""Questions over hand-written passages, each with what a good quoted answer holds and cites.

Written before the ranking was tuned; a change of the ranking answers to all of them.
"""

from dataclasses import dataclass

from parley_contracts.citations import Citation, DocumentRef

from tests.unit.llm.quoted_passages import (
    BATTERY,
    CLEANUP,
    ENDING,
    EXAMPLES,
    EXIT_CODES,
    FAQ,
    FENCED_LEAVING,
    GLOSSARY,
    HOLDING,
    HOP_TABLE,
    HOPS,
    HOPS_DRAWN,
    LEAVING,
    LIMITS_TABLE,
    MIXER,
    PINNING,
    REMOVAL,
    RETENTION,
    SERVICE_UNIT,
    STEPS,
    STOPPING,
    SUPPORT_FAQ,
    TERMINAL,
    TURNS,
)


@dataclass(frozen=True)
class QuotingCase:
    """A question, its passages (document name, heading, text; best ranked first), and what must come out."""

    name: str
    question: str
    passages: tuple[tuple[str, str | None, str], ...]
    leads_with: str | None = None
    holds: tuple[str, ...] = ()
    cites: int | None = None
    lacks: tuple[str, ...] = ()

    def citations(self) -> tuple[Citation, ...]:
        """Return the passages numbered from 1, scores falling."""
        return tuple(
            Citation(
                n=rank,
                text=text,
                score=1 / (59 + rank),
                document=DocumentRef(id=f"d-{name}", name=name, collection="manuals"),
                heading=heading,
                start=0,
                end=len(text),
            )
            for rank, (name, heading, text) in enumerate(self.passages, start=1)
        )


CASES = (
    QuotingCase(
        name="a how-to is answered by the sentence with the command",
        question="How do I delete a package together with its configuration files?",
        passages=(PINNING, REMOVAL),
        leads_with="To delete the configuration files as well",
        holds=("pkg purge NAME",),
        cites=2,
        lacks=("Pin priorities",),
    ),
    QuotingCase(
        name="a command that holds the question is no answer",
        question="Does leaving the page stop the answer?",
        passages=(LEAVING,),
        leads_with="An accepted question is stored",
        cites=1,
        lacks=("uv run",),
    ),
    QuotingCase(
        name="a fenced command that holds the question is no answer",
        question="Does leaving the page stop the answer?",
        passages=(FENCED_LEAVING,),
        leads_with="An accepted question is stored",
        cites=1,
        lacks=("uv run",),
    ),
    QuotingCase(
        name="a command that asks something near is no answer either",
        question="Does leaving a page stop its answer?",
        passages=(LEAVING,),
        leads_with="An accepted question is stored",
        cites=1,
        lacks=("uv run",),
    ),
    QuotingCase(
        name="examples of asking give way to what is done",
        question="How do I stop everything?",
        passages=(TERMINAL, LEAVING, STOPPING),
        leads_with="It stays in the foreground and stops everything in order on Ctrl-C",
        cites=3,
        lacks=("uv run",),
    ),
    QuotingCase(
        name="the question in quotes as an item is no answer",
        question="Does the kettle switch itself off?",
        passages=(EXAMPLES, BATTERY),
        leads_with="The kettle switches itself off after 12 minutes",
        cites=2,
        lacks=('"Does the kettle',),
    ),
    QuotingCase(
        name="an item that repeats the question and answers it is quoted",
        question="How do I stop everything?",
        passages=(("faq.md", None, "Two more:\n\n- How do I stop everything? Ctrl-C.\n- And start?"),),
        holds=("Ctrl-C.",),
        cites=1,
    ),
    QuotingCase(
        name="the head of a table is not quoted where a sentence or a row says it",
        question="What happens on each hop, and in which file?",
        passages=(HOP_TABLE,),
        leads_with="What happens on a hop is written to the log.",
        cites=1,
        lacks=("what happens · file", "what happens | file"),
    ),
    QuotingCase(
        name="a row of two columns gives way to a sentence",
        question="What ends a turn?",
        passages=(GLOSSARY, ENDING),
        leads_with="The ending of a turn is one more slot, called the seal.",
        cites=2,
    ),
    QuotingCase(
        name="a row of two columns is quoted when nothing is better",
        question="What is the stored wish?",
        passages=(GLOSSARY, BATTERY),
        leads_with="stop · The stored wish that a turn end.",
        cites=1,
    ),
    QuotingCase(
        name="a sentence that only explains a table gives way",
        question="What is one hop of a question?",
        passages=(HOPS, HOPS_DRAWN),
        leads_with="From the edge a question takes one more hop",
        cites=1,
        lacks=("Each row", "===="),
    ),
    QuotingCase(
        name="nothing relevant: only an example asks it",
        question="How do I stop everything?",
        passages=(TERMINAL,),
    ),
    QuotingCase(
        name="abbreviations do not end a sentence",
        question="What does the remove command leave behind?",
        passages=(REMOVAL, PINNING),
        leads_with="The `remove` command deletes the program but leaves its configuration files behind, e.g.",
        holds=("under /etc.",),
        cites=1,
    ),
    QuotingCase(
        name="another word form and a synonym still match",
        question="How long do you store the applications of rejected job candidates before removing them?",
        passages=(BATTERY, RETENTION),
        leads_with="Job applications of candidates who were not hired are erased after six",
        cites=2,
        lacks=("vinegar",),
    ),
    QuotingCase(
        name="the introduction of a list brings its items",
        question="Which exit codes does the backup program return?",
        passages=(EXIT_CODES, REMOVAL),
        leads_with="The program returns one of these codes:",
        holds=("0: every file was copied", "2: the destination is full"),
        cites=1,
    ),
    QuotingCase(
        name="a list item alone is found",
        question="What happens when the destination is full?",
        passages=(RETENTION, EXIT_CODES),
        holds=("the destination is full or cannot be written",),
        cites=2,
    ),
    QuotingCase(
        name="a question in the text is answered by what follows it",
        question="How do I reset my password?",
        passages=(FAQ, BATTERY),
        leads_with="Open Settings, choose Account and press Reset password.",
        cites=1,
        lacks=("Ask an administrator", "vinegar"),
    ),
    QuotingCase(
        name="a table row comes with its column names",
        question="What is the upload size limit of the Team plan?",
        passages=(LIMITS_TABLE, RETENTION),
        holds=("Upload size", "500 MB"),
        cites=1,
    ),
    QuotingCase(
        name="code comes with the sentence that introduces it",
        question="How can I follow the log of a unit?",
        passages=(RETENTION, SERVICE_UNIT),
        leads_with="To follow the log of one unit while it is written:",
        holds=("journalctl --follow --unit=NAME",),
        cites=2,
    ),
    QuotingCase(
        name="a question in two parts is covered by two sentences",
        question="Which service may write to a turn's events, and how is that passed on?",
        passages=(SERVICE_UNIT, TURNS),
        leads_with="Only the service that holds the pen may write to a turn's events.",
        holds=("The pen passes to the next writer",),
        cites=2,
        lacks=("[3]",),
    ),
    QuotingCase(
        name="a number is preferred when the question asks for one",
        question="After how many minutes does the kettle switch off?",
        passages=(BATTERY, RETENTION),
        leads_with="The kettle switches itself off after 12 minutes",
        cites=1,
    ),
    QuotingCase(
        name="a question of yes or no is answered by the sentence that opens so",
        question="Does the mixer run on batteries?",
        passages=(MIXER, SUPPORT_FAQ),
        leads_with="No, the mixer needs mains power.",
        cites=2,
        lacks=("For more information",),
    ),
    QuotingCase(
        name="a path is not the end of another path",
        question="May files in /cache be deleted?",
        passages=(CLEANUP,),
        leads_with="Files in /cache may be deleted at any time.",
        cites=1,
        lacks=("3.4.",),
    ),
    QuotingCase(
        name="a sentence that runs on into code brings it",
        question="How do I set a package to hold?",
        passages=(HOLDING, PINNING),
        leads_with="With the new tool, you can set a package to hold using",
        holds=("pkg-mark hold NAME",),
        cites=1,
    ),
    QuotingCase(
        name="an item that was cut off does not lead",
        question="How many members does the committee have?",
        passages=(STEPS,),
        leads_with="The committee consists of up to nine members.",
        cites=1,
    ),
    QuotingCase(
        name="the heading says what the sentence leaves out",
        question="How long are access logs kept under the retention policy?",
        passages=(SERVICE_UNIT, RETENTION),
        leads_with="Access logs are rotated weekly and kept for 90 days",
        holds=("cf. the security policy (Dr. Weber, ext. 12). [2]",),
        cites=2,
    ),
    QuotingCase(
        name="nothing relevant: a question of general knowledge",
        question="What is the capital of France?",
        passages=(REMOVAL, RETENTION, BATTERY),
    ),
    QuotingCase(
        name="nothing relevant: only a common word is shared",
        question="Who won the football world cup after the penalty shootout in the final minutes?",
        passages=(BATTERY, REMOVAL, EXIT_CODES),
    ),
    QuotingCase(
        name="nothing relevant: the subject is near but the thing asked for is absent",
        question="Which kubernetes ingress annotations configure TLS certificates?",
        passages=(REMOVAL, PINNING, SERVICE_UNIT),
    ),
    QuotingCase(
        name="nothing relevant: a name that no passage holds",
        question="How do I delete configuration files on a Solaris machine?",
        passages=(TURNS, SERVICE_UNIT, BATTERY),
    ),
    QuotingCase(name="nothing was retrieved", question="How do I descale the kettle?", passages=()),
)
