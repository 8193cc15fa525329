"""Packaging of polyrl; the settings of the development tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "polyrl" / "__init__.py").read_text()).group(1)

# ale-py 0.12.1 is the first that is tested to reset some environments of a vector; headless opencv needs no display.
ATARI = ["ale-py>=0.12.1,<1", "opencv-python-headless>=4.10.0.84,<6"]
# An extra of its own: it takes 750 MB. It does not support Python 3.10.
ENVPOOL = ["envpool>=1.2,<2; python_version >= '3.11'"]
# 0.5.4 is the first that can keep images as they are, and does not support Python 3.10, where demonstrations are .npz files.
# It imports pillow without requiring it.
DEMOS = ["minari[hdf5]>=0.5.4,<1; python_version >= '3.11'", "pillow>=10,<14"]
# The first with gymnasium; what it draws pictures with (pandas, scipy, seaborn) is required by it.
MINATAR = ["minatar>=1.0.15,<2"]
# The first for gymnasium 1. Pip takes an older one for Python 3.10.
MINIGRID = ["minigrid>=3.0,<4"]
# Renders gymnasium's small environments, writes mp4, writes GIFs. Not by gymnasium's own extras: some versions ask for
# pygame-ce there, which lies in the same directory as the pygame that minigrid asks for.
VIDEO = ["pygame>=2.4,<3", "moviepy>=2.0,<3", "pillow>=10,<14"]
# Searches hyper-parameters, and keeps the trials in a file of SQLite.
TUNE = ["optuna>=4.0,<6"]
# Draws learning curves in scripts/plot.py.
PLOT = ["matplotlib>=3.9,<4"]
# tf2onnx 1.17 is the first that runs with NumPy 2 and today's protobuf.
ONNX = ["tf2onnx>=1.17,<2", "onnxruntime>=1.20,<2"]
# Processes on one machine or many.
RAY = ["ray>=2.40,<3"]

setup(
    name="polyrl",
    version=VERSION,
    description="Estimator-style experiments for value-based reinforcement learning on TensorFlow and tf-keras.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",  # By SPDX; setuptools 77 is the first that knows it.
    license_files=["LICENSE"],
    packages=find_packages(include=["polyrl", "polyrl.*"]),
    package_data={"polyrl": ["py.typed"]},
    python_requires=">=3.10",
    # From those with which the tests pass together (scripts/lowest.sh), up to the next major version of those that they have
    # run with, which may be another library.
    install_requires=[
        "tensorflow>=2.21,<3",
        "ml_dtypes!=0.7.0",  # TensorFlow requires it. This version takes 0.7 seconds to import, where 0.6.0 takes 0.01.
        "tf-keras>=2.21,<3",
        "absl-py>=2.1,<3",
        "tensorboard>=2.20,<3",
        "numpy>=2.0,<3",
        "gymnasium>=1.4,<2",
        "tensorflow-probability>=0.25,<1",
        "ml-collections>=1.0,<2",
        "rich>=14.3,<16",
    ],
    entry_points={"console_scripts": ["polyrl = polyrl.__main__:main"]},
    extras_require={
        "atari": ATARI,
        "box2d": ["gymnasium[box2d]"],
        "mujoco": ["gymnasium[mujoco]"],
        "envpool": ENVPOOL,
        "demos": DEMOS,
        "minatar": MINATAR,
        "minigrid": MINIGRID,
        "video": VIDEO,
        "tune": TUNE,
        "onnx": ONNX,
        "ray": RAY,
        "plot": PLOT,
        "docs": ["mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.26,<2"],
        "dev": [
            *ATARI,
            *ENVPOOL,
            *DEMOS,
            *MINATAR,
            *MINIGRID,
            *VIDEO,
            *TUNE,
            *ONNX,
            *RAY,
            *PLOT,
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "pyyaml>=6",
            "nbclient>=0.8",
            "ipykernel>=6",
            "trfl>=1.2",
            "ruff>=0.8",
            "mypy>=1.13",
        ],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
