"""What the language-model service answers and works on."""

from collections.abc import Mapping

from parley_contracts import subjects
from parley_contracts.data_rights import EraseUser
from parley_contracts.llm import ListModels, ModelList
from parley_contracts.local_models import CancelPull, DeleteModel, ListPulls, PullModel
from parley_messaging import Service
from parley_messaging.queues import llm_jobs

from parley_llm.catalogue import Catalogue
from parley_llm.erasure import AnswerErasure
from parley_llm.pulls import Pulls
from parley_llm.worker import GenerationWorker


def bind(
    service: Service,
    catalogue: Catalogue,
    worker: GenerationWorker,
    *,
    slots: int,
    slots_of: Mapping[str, int],
) -> None:
    """Answer for the catalogue, and take jobs of every pool; `slots_of` has pools with their own limit."""

    async def list_models(_: ListModels) -> ModelList:
        return await catalogue.list()

    service.answer(subjects.LLM_MODELS, ListModels, list_models)
    for pool in catalogue.pools:
        service.work_raw(llm_jobs(pool), worker.work, slots=slots_of.get(pool, slots))


def bind_pulls(service: Service, pulls: Pulls) -> None:
    """Answer for the models that a server of ours keeps."""
    service.answer(subjects.LLM_PULL_MODEL, PullModel, pulls.pull)
    service.answer(subjects.LLM_CANCEL_PULL, CancelPull, pulls.cancel)
    service.answer(subjects.LLM_LIST_PULLS, ListPulls, pulls.list)
    service.answer(subjects.LLM_DELETE_MODEL, DeleteModel, pulls.delete)


def bind_erasure(service: Service, erasure: AnswerErasure) -> None:
    """Answer what accounts asks when a user is erased."""
    service.answer(subjects.LLM_ERASE_USER, EraseUser, erasure.erase, concurrency=2)
