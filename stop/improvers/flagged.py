"""An improver: one prompt, several answers at once, the best program by utility."""

from helpers import extract_code


def improve_algorithm(initial_solution, utility, language_model):
    """Ask the model for rewrites of `initial_solution` and return the best program by `utility`.

    `utility(program, use_sandbox=True)` scores a program, higher is better. `use_sandbox` says
    whether the program runs inside the sandbox meanwhile.
    """
    expertise = "You are an expert programmer. You write correct and efficient Python."
    message = f"""```python
{initial_solution}
```

This program is scored by the following code, higher is better:

```python
{utility.str}
```

Solve the same problem with a better algorithm. Name the algorithm in one sentence, then write the \
complete program in one ```python code block. Define the same function with the same parameters \
and kind of result, import what you use, and do not use the scoring code."""
    n = max(1, min(language_model.max_responses_per_call, utility.budget - 1))
    answers = language_model.batch_prompt(expertise, [message] * n, temperature=0.7)
    programs = [initial_solution] + [code for code in extract_code(answers) if code]
    return max(programs, key=lambda program: utility(program, use_sandbox=True))
