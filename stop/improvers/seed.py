"""The seed improver: one prompt, several answers at once, the best program by utility."""

from helpers import extract_code


def improve_algorithm(initial_solution, utility, language_model):
    """Ask the model for rewrites of `initial_solution` and return the best program by `utility`."""
    expertise = "You are an expert programmer. You write correct and efficient Python."
    message = f"""Rewrite this Python program so that it scores higher.

```python
{initial_solution}
```

It is scored by this code (higher is better):

```python
{utility.str}
```

Use a better algorithm. Keep the name and the parameters of the function.
Answer with the complete improved program in one ```python code block."""
    n = min(language_model.max_responses_per_call, utility.budget - 1)
    answers = language_model.batch_prompt(expertise, [message] * n, temperature=0.7)
    programs = [initial_solution] + [code for code in extract_code(answers) if code]
    return max(programs, key=utility)
