"""Models that are trained ahead: flows, generated domain names, web payloads, series, risk.

A model is one signed file of numbers (`artifact.py`), trained with scikit-learn
(`kinds.py` says which there are), scored with numpy alone, kept in versions with a pointer
(`store.py`) and watched for drift (`drift.py`). Needs the extra `models`.
"""
