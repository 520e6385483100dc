"""Figures of runs. Each function makes one, or draws on the axes it is given, and returns it.

    plot_rounds(run).savefig("rounds.png")

No window system and no browser is needed. People who are colour-blind can tell the colours apart
(Okabe and Ito), and no figure relies on colours alone. Texts of programs and models are shown as
plain ASCII.
"""
