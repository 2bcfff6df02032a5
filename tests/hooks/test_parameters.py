from erasediff_pipeline.hooks import FlattenParameters
from erasediff_pipeline.parameters import Parameters


def test_parameters_reach_mlflow_as_plain_values():
    inputs = {"params:unlearn": Parameters().unlearn, "params:seed": 3, "parameters": {"seed": 3}}
    FlattenParameters().before_node_run(inputs)
    assert inputs == {"params:unlearn": Parameters().unlearn.model_dump(), "params:seed": 3}
