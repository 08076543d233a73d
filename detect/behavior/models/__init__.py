"""Models that are trained ahead: flows, generated domain names, web payloads, series, risk.

A model is one signed file of numbers (`artifact.py`); it is trained with scikit-learn
(`training.py` says what there is), scored with numpy alone, kept in versions with a pointer
(`store.py`) and watched for drift (`drift.py`). Needs the extra `models`.
"""
