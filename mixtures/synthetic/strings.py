"""Templates over strings."""

from random import Random

from mixtures.synthetic.draws import WORDS, pick, sentence, sentences, singles
from mixtures.synthetic.problem import Draft, Template, code


def _letters(rng: Random, count: int) -> str:
    return "".join(sorted(rng.sample("abcdefghilmnoprstuw", count)))


def _shift_letters(rng: Random) -> Draft:
    k = rng.randint(1, 25)
    vowels = rng.random() < 0.5
    chosen = " in 'aeiou'" if vowels else ".islower()"
    return Draft(
        pick(rng, "shift_letters", "rotate_alphabet", "encode"),
        "text: str",
        "str",
        f"Move every {'vowel' if vowels else 'lower-case letter'} of the text {k} places forward in the alphabet, "
        "going on with a after z, and leave every other character as it is.",
        code(f"""
            result = []
            for c in text:
                if c{chosen}:
                    c = chr((ord(c) - ord('a') + {k}) % 26 + ord('a'))
                result.append(c)
            return ''.join(result)
        """),
        code(f"""
            alphabet = 'abcdefghijklmnopqrstuvwxyz'
            chosen = {"'aeiou'" if vowels else "alphabet"}
            table = {{c: alphabet[alphabet.index(c) - {26 - k}] for c in chosen}}
            return ''.join(table.get(c, c) for c in text)
        """),
        singles(["", "xyz", "Abc Xyz", "a-1", *(sentence(rng, 3) for _ in range(3))]),
    )


def _count_letters(rng: Random) -> Draft:
    letters = _letters(rng, rng.randint(2, 5))
    weight = rng.randint(1, 4)
    counted = f"{weight} for" if weight > 1 else "1 for"
    return Draft(
        pick(rng, "letter_score", "count_letters", "score_text"),
        "text: str",
        "int",
        f"Score a text: {counted} every letter that is one of '{letters}' in either case, and nothing for the others.",
        code(f"""
            score = 0
            for c in text.lower():
                if c in '{letters}':
                    score += {weight}
            return score
        """),
        f"return {weight} * sum(text.count(c) + text.count(c.upper()) for c in '{letters}')",
        singles(["", letters, letters.upper(), *(sentence(rng, 3).title() for _ in range(4))]),
    )


def _run_length(rng: Random) -> Draft:
    low = rng.randint(2, 5)
    mark = rng.choice("*#:x")
    return Draft(
        pick(rng, "run_length", "compress_runs", "shorten_repeats"),
        "text: str",
        "str",
        f"Replace every run of at least {low} equal characters by the length of the run, the sign {mark} and the "
        "character. Shorter runs stay as they are.",
        code(f"""
            result, i = '', 0
            while i < len(text):
                j = i
                while j < len(text) and text[j] == text[i]:
                    j += 1
                result += f'{{j - i}}{mark}{{text[i]}}' if j - i >= {low} else text[i:j]
                i = j
            return result
        """),
        code(f"""
            runs = []
            for c in text:
                if runs and runs[-1][0] == c:
                    runs[-1] += c
                else:
                    runs.append(c)
            return ''.join(f'{{len(run)}}{mark}{{run[0]}}' if len(run) >= {low} else run for run in runs)
        """),
        singles(
            ["", "a", "a" * low, "a" * (low - 1) + "b"]
            + ["".join(rng.choice("abc") * rng.randint(1, 6) for _ in range(4)) for _ in range(3)]
        ),
    )


def _bracket_depth(rng: Random) -> Draft:
    pairs = rng.sample(["()", "[]", "{}", "<>"], rng.randint(1, 3))
    opening, closing = "".join(p[0] for p in pairs), "".join(p[1] for p in pairs)
    fallback = rng.choice([-1, -2, 100])
    listed = " and ".join(f"'{p}'" for p in pairs)

    def nested(depth: int) -> str:
        pair = rng.choice(pairs)
        inner = "".join(nested(depth - 1) for _ in range(rng.randint(1, 2))) if depth else rng.choice(["", "x"])
        return pair[0] + inner + pair[1]

    return Draft(
        pick(rng, "bracket_depth", "nesting_depth", "max_depth"),
        "text: str",
        "int",
        f"Return how deeply the brackets {listed} are nested, or {fallback} when they do not match. "
        "All other characters are ignored.",
        code(f"""
            stack, deepest = [], 0
            for c in text:
                if c in '{opening}':
                    stack.append(c)
                    deepest = max(deepest, len(stack))
                elif c in '{closing}':
                    if not stack or '{opening}'.index(stack.pop()) != '{closing}'.index(c):
                        return {fallback}
            return {fallback} if stack else deepest
        """),
        code(f"""
            text = ''.join(c for c in text if c in '{opening + closing}')
            depth = max((sum(1 if c in '{opening}' else -1 for c in text[:i]) for i in range(len(text) + 1)))
            while any(pair in text for pair in {pairs}):
                for pair in {pairs}:
                    text = text.replace(pair, '')
            return {fallback} if text else depth
        """),
        singles(
            ["", "x", opening[0], closing[0] + opening[0], nested(1), nested(2), nested(3), nested(1) + closing[0]]
        ),
    )


def _select_words(rng: Random) -> Draft:
    k = rng.randint(3, 6)
    letter = rng.choice("aeilnors")
    condition, words = rng.choice(
        [
            (f"len(word) >= {k}", f"have at least {k} letters"),
            (f"len(word) < {k}", f"have fewer than {k} letters"),
            (f"'{letter}' in word", f"contain the letter {letter}"),
            (f"word[0] < '{letter}'", f"begin with a letter before {letter}"),
            (f"word[-1] != '{letter}'", f"do not end in {letter}"),
        ]
    )
    change, done = rng.choice(
        [
            ("word.upper()", "in capitals"),
            ("word[::-1]", "spelled backwards"),
            (f"word[:{k - 1}]", f"cut to their first {k - 1} letters"),
            ("word[1:] + word[0]", "with the first letter moved to the end"),
            ("word", "unchanged"),
        ]
    )
    joint = rng.choice(["-", ", ", "/", "+", " "])
    between = "a space" if joint == " " else f"'{joint}'"
    return Draft(
        pick(rng, "select_words", "rewrite_words", "pick_words"),
        "text: str",
        "str",
        f"Of the words of a text, take those that {words} and return them {done}, in their order, "
        f"joined with {between}.",
        code(f"""
            chosen = []
            for word in text.split():
                if {condition}:
                    chosen.append({change})
            return '{joint}'.join(chosen)
        """),
        f"return '{joint}'.join([{change} for word in text.split() if {condition}])",
        singles(sentences(rng, 7)),
    )


def _longest_palindrome(rng: Random) -> Draft:
    odd = rng.random() < 0.5
    extra = _letters(rng, rng.randint(1, 3))
    kind = "of odd length" if odd else "of any length"
    test = " and (j - i) % 2 == 1" if odd else ""
    return Draft(
        pick(rng, "longest_palindrome", "palindrome_length", "best_mirror"),
        "text: str",
        "int",
        f"Remove the letters '{extra}' from a text and return the length of the longest palindrome {kind} among the "
        "pieces of what is left.",
        code(f"""
            text = ''.join(c for c in text if c not in '{extra}')
            best = 0
            for i in range(len(text)):
                for j in range(i + 1, len(text) + 1):
                    piece = text[i:j]
                    if piece == piece[::-1]{test}:
                        best = max(best, len(piece))
            return best
        """),
        code(f"""
            text = text.translate(str.maketrans('', '', '{extra}'))
            best = 0
            for centre in range(len(text)):
                for right in {"(centre,)" if odd else "(centre, centre + 1)"}:
                    left, end = centre, right
                    while left >= 0 and end < len(text) and text[left] == text[end]:
                        best = max(best, end - left + 1)
                        left, end = left - 1, end + 1
            return best
        """),
        singles(["", extra, "level", "noon" + extra[0], *("".join(rng.choices("abc" + extra, k=9)) for _ in range(3))]),
    )


def _evaluate(rng: Random) -> Draft:
    m = rng.randint(7, 99)
    start = rng.randint(0, 5)
    names = rng.sample(["add", "sub", "mul", "max"], 3)
    step = {"add": "value + n", "sub": "value - n", "mul": "value * n", "max": "max(value, n)"}
    told = {
        "add": "adds n",
        "sub": "subtracts n",
        "mul": "multiplies by n",
        "max": "takes the larger of the value and n",
    }
    branches = "".join(
        f"\n                {'if' if i == 0 else 'elif'} op == '{name}':\n                    value = {step[name]}"
        for i, name in enumerate(names)
    )

    def program(count: int) -> str:
        return "; ".join(f"{rng.choice(names)} {rng.randint(0, 20)}" for _ in range(count))

    explained = ", ".join(f"'{name} n' {told[name]}" for name in names)
    return Draft(
        pick(rng, "run_program", "interpret", "execute_commands"),
        "program: str",
        "int",
        f"Run the commands of a program, separated by semicolons, on a value that starts at {start}: {explained}. "
        f"After every command the value is reduced modulo {m}. Return the final value.",
        code(f"""
            value = {start}
            for command in program.split(';'):
                if not command.strip():
                    continue
                op, argument = command.split()
                n = int(argument){branches}
                value %= {m}
            return value
        """),
        code(f"""
            actions = {{{", ".join(f"'{name}': lambda value, n: {step[name]}" for name in names)}}}
            value = {start}
            tokens = program.replace(';', ' ').split()
            for op, n in zip(tokens[::2], map(int, tokens[1::2])):
                value = actions[op](value, n) % {m}
            return value
        """),
        singles(["", program(1), program(2), *(program(rng.randint(3, 5)) for _ in range(4))]),
    )


def _mark_positions(rng: Random) -> Draft:
    n, offset = rng.randint(2, 6), rng.randint(0, 3)
    sign = rng.choice("*-_.#")
    skip = rng.random() < 0.5
    note = ", not counting spaces" if skip else ""
    return Draft(
        pick(rng, "mark_positions", "mask_text", "replace_every"),
        "text: str",
        "str",
        f"Replace every character whose position, counted from 0{note}, leaves remainder {offset % n} when divided by "
        f"{n} with '{sign}'.",
        code(f"""
            result, position = '', 0
            for c in text:
                if c == ' ':
                    result += c
                    continue
                result += '{sign}' if position % {n} == {offset % n} else c
                position += 1
            return result
        """)
        if skip
        else f"return ''.join('{sign}' if i % {n} == {offset % n} else c for i, c in enumerate(text))",
        code(f"""
            positions = [i for i, c in enumerate(text){" if c != ' '" if skip else ""}]
            characters = list(text)
            for i in positions[{offset % n}::{n}]:
                characters[i] = '{sign}'
            return ''.join(characters)
        """),
        singles(sentences(rng, 7)),
    )


def _common_prefix(rng: Random) -> Draft:
    least = rng.randint(2, 4)
    end = rng.random() < 0.5
    part = "ending" if end else "beginning"
    stem = rng.choice([word for word in WORDS if len(word) > least])

    def words(count: int) -> list[str]:
        return [rng.choice(WORDS) + stem if end else stem + rng.choice(WORDS) for _ in range(count)]

    return Draft(
        f"common_{part}",
        "words: list[str]",
        "str",
        f"Return the longest common {part} of all words, or an empty string when it is shorter than {least} letters "
        "or there are no words.",
        code(f"""
            if not words:
                return ''
            shared = words[0]
            for word in words[1:]:
                while not word.{"endswith" if end else "startswith"}(shared):
                    shared = {"shared[1:]" if end else "shared[:-1]"}
            return shared if len(shared) >= {least} else ''
        """),
        code(f"""
            length = 0
            for letters in zip(*[{"word[::-1]" if end else "word"} for word in words]):
                if len(set(letters)) > 1:
                    break
                length += 1
            if length < {least}:
                return ''
            return {"words[0][-length:]" if end else "words[0][:length]"}
        """),
        singles([[], [stem], [stem, rng.choice(WORDS)], *(words(rng.randint(2, 4)) for _ in range(4))]),
    )


TEMPLATES = (
    Template("shift-letters", _shift_letters),
    Template("count-letters", _count_letters),
    Template("run-length", _run_length),
    Template("bracket-depth", _bracket_depth),
    Template("select-words", _select_words),
    Template("longest-palindrome", _longest_palindrome),
    Template("evaluate-commands", _evaluate),
    Template("mark-positions", _mark_positions),
    Template("common-prefix", _common_prefix),
)
