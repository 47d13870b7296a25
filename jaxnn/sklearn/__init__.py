"""Estimators in scikit-learn's interface, and a search over hyperparameters that trains all candidates together.

It needs scikit-learn, `pip install scikit-learn`, and is imported only where it is used:
`from jaxnn.sklearn import MLPClassifier`.
"""

try:
    from jaxnn.sklearn.classification import MLPClassifier
    from jaxnn.sklearn.logistic import LogisticRegression
    from jaxnn.sklearn.regression import MLPRegressor
    from jaxnn.sklearn.search import PopulationSearchCV
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("sklearn"):
        raise
    raise ImportError("scikit-learn is not installed: pip install scikit-learn") from None

__all__ = ["LogisticRegression", "MLPClassifier", "MLPRegressor", "PopulationSearchCV"]
