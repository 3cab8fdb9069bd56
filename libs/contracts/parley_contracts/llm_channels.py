"""The channels of language models, a part of the catalogue."""

from functools import partial

from parley_contracts import llm, local_models, subjects
from parley_contracts.channel import CORE, Channel, ChannelKind, request_channel
from parley_contracts.replies import Done

_request = partial(request_channel, "llm")

LLM_CHANNELS: tuple[Channel, ...] = (
    Channel(
        subjects.ALL_GENERATE,
        ChannelKind.COMMAND,
        "LLM_JOBS",
        (llm.GenerateJob,),
        "turn runner",
        "one llm worker of the pool",
        "Write the answer of a turn; the pen passes with it.",
        parameters=("pool",),
    ),
    _request(subjects.LLM_MODELS, llm.ListModels, llm.ModelList, "Which models can be reached now?"),
    _request(
        subjects.LLM_PULL_MODEL,
        local_models.PullModel,
        local_models.ModelPull,
        "Fetch a model to the server that keeps it, or take part in it.",
    ),
    _request(
        subjects.LLM_CANCEL_PULL,
        local_models.CancelPull,
        local_models.ModelPull,
        "Stop fetching a model.",
    ),
    _request(
        subjects.LLM_LIST_PULLS,
        local_models.ListPulls,
        local_models.PullList,
        "What is and was lately fetched.",
    ),
    _request(subjects.LLM_DELETE_MODEL, local_models.DeleteModel, Done, "Delete a model where it is kept."),
    Channel(
        subjects.LLM_PULL_CHANGED,
        ChannelKind.EVENT,
        CORE,
        (local_models.ModelPullChanged,),
        "llm",
        "gateways whose clients watch, every llm",
        "How the fetching of a model stands.",
        is_bare=True,
    ),
    Channel(
        subjects.LLM_MODELS_CHANGED,
        ChannelKind.EVENT,
        CORE,
        (local_models.ModelsChanged,),
        "llm",
        "gateways, every llm",
        "There are other models than before: what was remembered of them is asked anew.",
        is_bare=True,
    ),
)
