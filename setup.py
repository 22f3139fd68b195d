"""Compiles the Cython modules; everything else about the package stands in pyproject.toml."""

import os

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

# No fused multiply-add: clients place selections with the same bits as the server.
OPTIONS = ["-O3", "-fno-strict-aliasing", "-ffp-contract=off", "-g0"]


def extension(name: str) -> Extension:
    return Extension(
        f"polypaint.{name}",
        [f"polypaint/{name}.pyx"],
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=[*OPTIONS, *os.environ.get("POLYPAINT_CFLAGS", "").split()],
        extra_link_args=os.environ.get("POLYPAINT_LDFLAGS", "").split(),
    )


setup(
    ext_modules=cythonize(
        [extension(name) for name in ("_framing", "_fanout", "_codec", "_raster")],
        build_dir="build/cython",
        compiler_directives={"language_level": "3", "embedsignature": False, "binding": True},
    )
)
