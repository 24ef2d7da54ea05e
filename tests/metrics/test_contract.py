"""Every metric keeps the contract."""

import dspy
import pytest

from tests.contracts.metric import MetricContract
from tunesmith.metrics import (
    answer_in_passages,
    citation_correctness,
    contains,
    exact_match,
    gated,
    json_fields,
    ndcg_at,
    numeric_close,
    one_of,
    precision_at,
    recall_at,
    reciprocal_rank,
    regex_match,
    rouge_l,
    set_match,
    token_f1,
    weighted,
)


def same_answer(example, prediction, trace=None):
    """A metric as a user writes it, on top of a shipped one for what is absent."""
    score = exact_match("answer")(example, prediction)
    return score if score.value == 0 else prediction["answer"] == example["answer"]


class TextContract(MetricContract):
    @pytest.fixture
    def example(self):
        return dspy.Example(question="?", answer="A quick brown fox").with_inputs("question")

    @pytest.fixture
    def perfect(self):
        return dspy.Prediction(answer="A quick brown fox")


class TestExactMatch(TextContract):
    @pytest.fixture
    def metric(self):
        return exact_match("answer")


class TestExactMatchAsAMetric(TextContract):
    @pytest.fixture
    def metric(self):
        return exact_match


class TestExactMatchOfTextAsItIs(TextContract):
    @pytest.fixture
    def metric(self):
        return exact_match("answer", normalize=False)


class TestContains(TextContract):
    @pytest.fixture
    def metric(self):
        return contains("answer")


class TestContainsAsAMetric(TextContract):
    @pytest.fixture
    def metric(self):
        return contains


class TestTokenF1(TextContract):
    @pytest.fixture
    def metric(self):
        return token_f1("answer")


class TestTokenF1AsAMetric(TextContract):
    @pytest.fixture
    def metric(self):
        return token_f1


class TestSetMatch(MetricContract):
    @pytest.fixture
    def metric(self):
        return set_match("answer")

    @pytest.fixture
    def example(self):
        return dspy.Example(question="?", answer=["fox", "dog"]).with_inputs("question")

    @pytest.fixture
    def perfect(self):
        return dspy.Prediction(answer=["dog", "fox"])


class TestRougeL(TextContract):
    @pytest.fixture
    def metric(self):
        return rouge_l("answer", beta=1.2)


class TestRougeLAsAMetric(TextContract):
    @pytest.fixture
    def metric(self):
        return rouge_l


class TestWeighted(TextContract):
    @pytest.fixture
    def metric(self):
        return weighted({exact_match("answer"): 1, token_f1("answer"): 2, rouge_l("answer"): 0.3})


class TestGated(TextContract):
    @pytest.fixture
    def metric(self):
        return gated(exact_match("answer"), token_f1("answer"))


class TestRegexMatch(TextContract):
    needs_label = False

    @pytest.fixture
    def metric(self):
        return regex_match(r"^A quick", "answer")


class TestFunction(TextContract):
    @pytest.fixture
    def metric(self):
        return same_answer


class TestNumericClose(MetricContract):
    @pytest.fixture
    def metric(self):
        return numeric_close("answer", rel=0.01)

    @pytest.fixture
    def example(self):
        return dspy.Example(question="?", answer=1234.5).with_inputs("question")

    @pytest.fixture
    def perfect(self):
        return dspy.Prediction(answer="It is $1,234.50.")


class TestNumericCloseAsAMetric(TestNumericClose):
    @pytest.fixture
    def metric(self):
        return numeric_close


class TestOneOf(MetricContract):
    label = "accepted"

    @pytest.fixture
    def metric(self):
        return one_of("answer", accepted_field="accepted")

    @pytest.fixture
    def example(self):
        return dspy.Example(question="?", accepted=["NYC", "New York"]).with_inputs("question")

    @pytest.fixture
    def perfect(self):
        return dspy.Prediction(answer="new york")


class TestJsonFields(MetricContract):
    @pytest.fixture
    def metric(self):
        return json_fields({"answer.city": 1, "answer.items.0.price": 2})

    @pytest.fixture
    def example(self):
        answer = {"city": "Rome", "items": [{"price": 3.5}]}
        return dspy.Example(question="?", answer=answer).with_inputs("question")

    @pytest.fixture
    def perfect(self):
        return dspy.Prediction(answer='{"city": "rome", "items": [{"price": "3.50"}]}')


class PassageContract(MetricContract):
    """The passages are in `answer`, so that junk comes as passages too."""

    label = "relevant"

    @pytest.fixture
    def example(self):
        return dspy.Example(question="?", relevant=["one", "two"]).with_inputs("question")

    @pytest.fixture
    def perfect(self):
        return dspy.Prediction(answer=["one", "two"])


class TestRecallAt(PassageContract):
    @pytest.fixture
    def metric(self):
        return recall_at(field="answer")


class TestRecallAtOfTexts(PassageContract):
    @pytest.fixture
    def metric(self):
        return recall_at(field="answer", k=2, by="text")


class TestPrecisionAt(PassageContract):
    @pytest.fixture
    def metric(self):
        return precision_at(field="answer")


class TestReciprocalRank(PassageContract):
    @pytest.fixture
    def metric(self):
        return reciprocal_rank(field="answer")


class TestNdcgAt(PassageContract):
    @pytest.fixture
    def metric(self):
        return ndcg_at(field="answer", k=2)


class TestCitationCorrectness(PassageContract):
    @pytest.fixture
    def metric(self):
        return citation_correctness(field="answer")


class TestAnswerInPassages(PassageContract):
    @pytest.fixture
    def metric(self):
        return answer_in_passages("relevant", field="answer")
