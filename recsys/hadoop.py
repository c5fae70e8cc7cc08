"""Single files of any file system that Hadoop knows, asked for without a Spark job."""

from __future__ import annotations

from dataclasses import dataclass

from py4j.java_gateway import JavaClass, JavaObject
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

PATH = "org.apache.hadoop.fs.Path"


def java_class(spark: SparkSession, name: str) -> JavaClass:
    """The class of this full name. Of `jvm.org.apache` each part would be looked for in each of Spark's jars."""
    found: JavaClass = getattr(spark._jvm, name)
    return found


def place(spark: SparkSession, uri: str) -> Place:
    """The file or folder at `uri`, whether it is there or not."""
    path = java_class(spark, PATH)(uri)
    return Place(spark, path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()), path)


@dataclass(frozen=True)
class Place:
    """A file or folder of a file system that was looked up before."""

    spark: SparkSession
    files: JavaObject
    path: JavaObject

    def __truediv__(self, name: str) -> Place:
        """What lies in this folder under `name`."""
        return Place(self.spark, self.files, java_class(self.spark, PATH)(self.path, name))

    def exists(self) -> bool:
        """Whether it is there."""
        return bool(self.files.exists(self.path))

    def names(self) -> list[str] | None:
        """What lies in this folder; None: there is no such folder."""
        if not self.exists():
            return None
        return [str(status.getPath().getName()) for status in self.files.listStatus(self.path)]

    def text(self) -> str | None:
        """What this file holds, in UTF-8; None: there is no such file."""
        if not self.exists():  # an exception from Java costs as much as many such questions
            return None
        try:
            stream = self.files.open(self.path)
        except Py4JJavaError as error:  # removed in between
            if error.java_exception.getClass().getSimpleName() == "FileNotFoundException":
                return None
            raise
        try:
            return str(java_class(self.spark, "org.apache.commons.io.IOUtils").toString(stream, "UTF-8"))
        finally:
            stream.close()
