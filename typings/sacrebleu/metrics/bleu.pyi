from collections.abc import Sequence

class BLEUScore:
    score: float

class BLEU:
    def __init__(self, lowercase: bool = False, max_ngram_order: int = 4) -> None: ...
    def corpus_score(
        self, hypotheses: Sequence[str], references: Sequence[Sequence[str | None]] | None
    ) -> BLEUScore: ...
