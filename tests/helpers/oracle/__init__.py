"""An independent oracle in NumPy and float64, written from the system's formulas and sharing no code with jaxnn.

The networks and logistic regression keep the notes' columns: X is (n_x, m), Y is (1, m), W is (n_out, n_in) and
b is (n_out, 1). The losses, the targets and the slips are in rows, as jaxnn is: x is (m, n_x), z is (m, k). W keeps
its shape in both. Convolution and pooling (`windows`, `pooling`) are in rows, channels last: x is (m, *spatial, c).
Sequences (`cells`, `recurrence`, `attention`, `ctc`) are in rows, x (m, T, n), and have lengths (m,).

Analytic functions also take complex numbers, so that `differences.complex_step` can differentiate the oracle's
values to the last digit and prove the gradients that it states.
"""
