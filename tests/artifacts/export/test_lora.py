from tunesmith.artifacts.export._lora import lora_config


def config(**given: object) -> list[str]:
    defaults: dict[str, object] = {"model": "ollama/x\ny", "base_model": None, "template": None, "calls": False}
    lengths = [(3000, 4), (90, 2)]
    return lora_config("sft", ["a_train", "a_eval"], **{**defaults, "lengths": lengths, **given}).splitlines()  # type: ignore[arg-type]


def test_what_is_not_known_is_to_be_filled_in() -> None:
    assert 'model_name_or_path: "FILL_IN"' in config()
    assert 'model_name_or_path: "org/a: b"' in config(base_model="org/a: b")
    assert "# ollama/x y" in config(), "a comment is one line"


def test_nothing_of_the_longest_row_is_cut_off() -> None:
    assert "cutoff_len: 1792" in config()
    assert "cutoff_len: 512" in config(lengths=[(20, 2)])


def test_without_rows_to_evaluate_on_nothing_is_evaluated() -> None:
    alone = lora_config("dpo", ["a"], model="m", base_model=None, template=None, lengths=[(9, 2)], calls=False)
    assert "eval" not in alone
    assert 'eval_dataset: "a_eval"' in config()


def test_only_the_last_reply_is_learned_unless_calls_come_before_it() -> None:
    assert "mask_history: true" in config()
    assert "mask_history: true" not in config(calls=True)
