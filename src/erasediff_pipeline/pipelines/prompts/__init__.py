from erasediff_pipeline.pipelines.prompts.pipeline import create_pipeline

__all__ = ["create_pipeline"]
