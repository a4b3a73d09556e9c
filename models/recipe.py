"""What decides the numbers besides shape and schedule: the optimizer's settings and the version of the numerics."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from store.errors import UserError

NUMERICS_VERSION = 2
"""Bump when the same identity would train to other numbers; tests/golden/losses.json forces it."""

PRECISIONS = ("float32", "bfloat16")
"""Types to compute in. With bfloat16 the matrix products, attention and the states between blocks are bfloat16;
parameters, their gradients' sums over tokens, microbatches and devices, optimizer, norms, softmax and loss stay
float32. CPUs train in float32: most emulate bfloat16."""

PRODUCTS = {"float32": "highest", "bfloat16": "default"}
"""By precision, jax's word for how products of float32 are computed. Its default is a single pass in bfloat16 on TPU
and TensorFloat-32 (10 bits) on GPU, neither of which is float32."""


@dataclass(frozen=True)
class AdamW:
    """The paper names AdamW and no values (arXiv:2408.10914, section 3.1); these are the usual ones for such models.

    Only matrices inside the blocks decay. Norm scales do not: a scale pulled to zero only fights the gradient. The
    embedding does not either: mixtures differ in the tokens they read, and a row that a mixture seldom reads would
    shrink for that reason alone.

    Raises:
        UserError: a value outside its range.
    """

    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    """Highest global norm of the gradient."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int | float):
                raise UserError(f"AdamW has {name} {value!r}; it must be a number")
        if not (0 <= self.b1 < 1 and 0 <= self.b2 < 1):
            raise UserError(f"AdamW has b1 {self.b1} and b2 {self.b2}; both must lie in [0, 1)")
        if not (self.eps > 0 and self.weight_decay >= 0 and self.clip > 0):
            raise UserError(
                f"AdamW has eps {self.eps}, weight_decay {self.weight_decay} and clip {self.clip}; "
                "eps and clip must be above 0 and weight_decay not below it"
            )


@dataclass(frozen=True)
class NextToken:
    """Mean cross-entropy of the tokens that carry loss, over the global batch.

    Attributes:
        on: "all" tokens, or of examples (a prompt and its answer) the "answers" alone. Padding never carries loss, and
            of sources that are no examples every token does.
    """

    on: Literal["all", "answers"] = "all"


@dataclass(frozen=True)
class Ranking:
    """RRTF (PanGu-Coder2, arXiv:2307.14936, section 3): better answers to a prompt become likelier than worse ones.

    With p the mean log-probability of an answer's tokens and r its score, a set of answers adds

        rank * sum over pairs with r_a > r_b of (r_a - r_b) * max(0, p_b - p_a)  +  tuning * L_ft

    where L_ft is the negative log-likelihood of the best answer, the first of several. The batch's value is the mean
    over its sets. The paper weighs both by 1 and sums L_ft over the tokens.

    Attributes:
        rank, tuning: weights of the two terms.
        reduction: of L_ft over the tokens of the answer.
    """

    rank: Annotated[float, Ge(0)] = 1.0
    tuning: Annotated[float, Ge(0)] = 1.0
    reduction: Literal["sum", "mean"] = "sum"
