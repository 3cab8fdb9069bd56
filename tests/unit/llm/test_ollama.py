"""What Ollama alone is asked for, and how it alone answers, against the fake server."""

import asyncio

import pytest
from parley_contracts.turns import GenerationParams
from parley_llm.backends.served_models import ServedModels
from parley_messaging import ServiceSettings

from tests.fakes.ollama_server import OllamaFake
from tests.unit.llm.jobs import final_of, job_for, text_of


async def test_parameters_and_the_context_length_are_sent(ollama: ServedModels, ollama_fake: OllamaFake):
    params = GenerationParams(temperature=0.1, top_p=0.9, max_tokens=7, seed=3, stop=("END",))

    async for _ in ollama.generate(job_for("ollama/llama3.2:1b", params=params)):
        pass

    sent = ollama_fake.requests[-1]
    assert sent["options"] == {
        "temperature": 0.1,
        "top_p": 0.9,
        "num_predict": 7,
        "seed": 3,
        "stop": ["END"],
        "num_ctx": 8192,
    }
    assert sent["keep_alive"] == "30m"


async def test_the_preferred_model_is_loaded_with_the_context_that_answers_use(
    ollama: ServedModels, ollama_fake: OllamaFake
):
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(ollama.watch())
        await ollama_fake.until(lambda stats: stats.loads == 1, within_s=5)
        watch.cancel()

    sent = ollama_fake.requests[-1]
    assert sent["model"] == "llama3.2:1b"
    assert sent["options"] == {"num_ctx": 8192}
    assert sent["keep_alive"] == "30m"


@pytest.mark.parametrize(
    ("form", "prompt_tokens", "completion_tokens"),
    [("unterminated", 8, 4), ("usage-strings", 8, 0), ("usage-absent", 0, 0)],
)
async def test_an_answer_is_whole_however_its_last_line_is_written(
    ollama: ServedModels, form: str, prompt_tokens: int, completion_tokens: int
):
    chunks = [chunk async for chunk in ollama.generate(job_for(f"ollama/form:{form}"))]

    assert text_of(chunks) == "c1w0 c1w1 c1w2 c1w3 "
    usage = final_of(chunks).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt_tokens, completion_tokens)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("models.example:80/", "http://models.example:80"),
        ("https://models.example/ollama/", "https://models.example:443/ollama"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_a_host_means_a_url(host: str, url: str):
    assert ServiceSettings(ollama_host=host).ollama_url == url
