"""Texts that a careless scanner reads again and again: each is a unit repeated, with ends."""

from __future__ import annotations

from typing import NamedTuple


class HostileText(NamedTuple):
    """A beginning, a unit that is repeated up to the length wanted, and an end."""

    before: str
    unit: str
    after: str = ""

    def of_length(self, length: int) -> str:
        """The text with about so many characters."""
        return self.before + self.unit * max(1, length // len(self.unit)) + self.after


_UNITS = (
    "1", "0", " ", "\n", "\t", "a", "A", "é", "，", "。", "答", "是", "答案是", "√", "²", "¾", "（",
    "(", ")", "[", "]", "{", "}", "((", "()", "(1", "[1,", "{}", "{1", "{{}", "}{", "\\", "\\\\",
    "\\ ", "\\,", "\\!", "\\{", "\\(", "\\)", "\\[", "\\]", "\\(1\\)", "\\[1", "$", "$$", "$1$",
    "$ ", "$1", "\\$", "$$1$$ ", ",", ", ", "1,", "1, ", "1,000", ";", ".", "...", "1.", ". ",
    "^", "_", "x^", "x_", "^{", "_{", "^2", "+", "-", "1+", "=", "x=", "1=", "<", "x<", "<<",
    "<<1", ">>", "|", "||", "&", "&&", "~", "!", "1!", "?", "'", '"', "`", "```", "```\n", "*",
    "**", "**a", "#", "####", "####1", "\n####", "\n# Answer\n", "%", "1%", "\\%", "/", "1/",
    "1/2", "1/2 ", ":", "1:", "x:", "\\frac", "\\frac1", "\\frac{", "\\frac{1}{", "\\frac{1}{2}",
    "\\sqrt", "\\sqrt{", "\\sqrt[", "\\sqrt(", "\\text", "\\text{", "\\text{a}", "\\textbf{",
    "\\mathrm{", "\\textcolor{a}{", "\\phantom{", "\\boxed", "\\boxed ", "\\boxed{", "\\boxed{1}",
    "\\boxed 1", "\\boxed{}", "\\boxed{1} and ", "\\boxed{...}", "\\fbox{", "\\left", "\\left(",
    "\\right)", "\\begin", "\\begin{", "\\begin{pmatrix}", "\\begin{align}",
    "\\begin{align}1\\end{", "\\end{", "\\end{pmatrix}", "\\overline{", "\\bar1", "\\pm",
    "\\pm 1", "\\cup", "1\\cup", "\\in", "\\leq", "x\\leq", "\\infty", "\\pi", "\\circ",
    "^\\circ", "\\over", "{1\\over", "\\choose", "\\displaystyle", "\\quad", "\\color{",
    "\\hline", "\\cdot", "\\times", "\\ldots", "\\a", "and", "and ", " and", "or ", "1 and ",
    "and 1 ", "1, and ", "the answer is ", "The answer is 1. ", "answer", "answer ",
    "answers to ", "answer: ", "Answer:\n", "answer is\n", "is ", "x is ", "so ", "therefore, ",
    "Final Answer:", "Final Answer: ", "Final Answer:\n", "option ", "base ", "1 base ",
    "percent ", "the ", "the number ", "réponse ", "réponse finale ", "respuesta ",
    "Antwort ist ", "ответ ", "最终答案是", "答：", "因为", "和", "1和", "<think>", "</think>",
    "<think></think>", "[THINK]", "<|channel|>", "<|channel|>analysis", "<|im_end|>", "</s>",
    "<|", "sin", "sin ", "\\sin", "sin(", "x", "xy", "x ", "xy ", "x*", "2*", "**2", "x**", "10^",
    "1e1", "1.5", "1 000", "000 ", "1 ", "-1", "- ", "- -", "a:", "a b ", "1a", "1 a", "I hope ",
    ", because ", "which ", ". So ", "million ", "1 million ", "dollars ", "m^2", "1m", "1m^2",
    "January ", "1 January ", "PM ", "1:30 ", "\u200b", "\N{FULLWIDTH DIGIT ONE}", "\ufdfa",
    "Wait, check: ", "1 + 1 = 2\n\n", "1 * ", "\n\n", " \n\n", "Step 1: ", "Verdict: ", "Yes",
    "yes ", "score: ", "rating ", "\\boxed{Yes} ", "8/10 ",
)  # fmt: skip
_FRAMES = (
    ("", ""), ("\\boxed{", "}"), ("The answer is ", "."), ("\\text{", "}"), ("$", "$"), ("(", ")"),
    ("1", "x"), ("<think>", "</think>1"), ("Answer: 1\n", ""), ("x=", "}"),
)  # fmt: skip
_FILLERS = (" ", "\n", "1", "a", ",", "{", "(", "\\", "\\$", "1 ", "and ", "*", "=", "，")
"""What stands between two tokens that belong together, however much of it there is."""
_PAIRS = (
    ("answer", "is 5"), ("answer to ", "is 5"), ("\nAnswer", "x"), ("# Answer", "x"), ("####", "x"),
    ("Final Answer:", "x"), ("réponse", "x"), ("答案是", "x"), ("\\boxed{1}", "\\boxed{2}"),
    ("\\boxed", "{5}"), ("$1$", "and x"), ("\\(1", "\\)x"), ("$$1", "$$x"), ("\\[1", "\\]x"),
    ("<<1", ">>x"), ("```\n", "```x"), ("\\begin{align}", "\\end{align}x"), ("1", "\\text{ cm}x"),
    ("is 5", "hope"), ("Grade:", "x"), ("Wait, check: 1", " = 2\n\n"), ("</think>\\boxed{", "}"),
)  # fmt: skip


def hostile_texts() -> list[HostileText]:
    """Every unit alone, and in one other frame, in turn; every filler between every pair."""
    alone = [HostileText("", unit) for unit in _UNITS]
    framed = [
        HostileText(_FRAMES[i % len(_FRAMES)][0], unit, _FRAMES[i % len(_FRAMES)][1])
        for i, unit in enumerate(_UNITS)
    ]
    between = [HostileText(a, unit, b) for unit in _FILLERS for a, b in _PAIRS]
    return list(dict.fromkeys(alone + framed + between))
