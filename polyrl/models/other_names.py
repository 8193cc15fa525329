"""What the arguments of models are called in other libraries, for messages that say what to use."""

from __future__ import annotations

HINTS = {
    **dict.fromkeys(("gamma", "discount_factor"), "Use discount."),
    **dict.fromkeys(("learning_rate", "lr"), "Use optimizer_config=AdamConfig(learning_rate=...)."),
    **dict.fromkeys(("optimizer", "optimizer_fn"), "Use optimizer_config, as AdamConfig(learning_rate=...)."),
    **dict.fromkeys(("loss", "loss_fn"), "Use loss_config, as HuberLossConfig(delta=1)."),
    **dict.fromkeys(("metrics", "eval_metrics"), "Use eval_metrics_config, a list of MetricConfig."),
    **dict.fromkeys(
        ("epsilon", "exploration", "exploration_rate", "eps"), "Use exploration_config, as ConstantExplorationConfig(0.05)."
    ),
    **dict.fromkeys(
        ("network", "policy", "policy_kwargs", "q_network", "model", "torso", "hidden_units", "units", "net_arch"),
        "Use graph_fn, as polyrl.networks.mlp([64, 64]).",
    ),
    **dict.fromkeys(("state_shape", "observation_space", "state_dim", "input_shape"), "Use num_states, a number or a shape."),
    **dict.fromkeys(("action_space", "action_dim", "n_actions"), "Use num_actions."),
    **dict.fromkeys(("tau", "target_update_rate"), "Use target_update_tau."),
    **dict.fromkeys(
        ("target_update_interval", "target_update_period", "target_update_freq", "target_network_frequency"),
        "Use target_update_frequency, which counts updates, or target_update_timesteps, which counts environment steps.",
    ),
    **dict.fromkeys(("max_grad_norm", "clipnorm", "grad_clip", "gradient_clipping"), "Use clip_gradients."),
    **dict.fromkeys(("n_atoms", "atoms"), "Use num_atoms, of CategoricalDQNModel."),
    **dict.fromkeys(("v_min", "min_value", "vmin"), "Use min_q_value, of CategoricalDQNModel."),
    **dict.fromkeys(("v_max", "max_value", "vmax"), "Use max_q_value, of CategoricalDQNModel."),
    **dict.fromkeys(("num_atoms", "min_q_value", "max_q_value"), "It is an argument of CategoricalDQNModel."),
    **dict.fromkeys(("action_low", "action_high"), "It is an argument of NAFModel."),
    **dict.fromkeys(("n_quantiles", "quantiles"), "Use num_quantiles, of QRDQNModel."),
    "num_quantiles": "It is an argument of QRDQNModel.",
    "kappa": "It is an argument of QRDQNModel and IQNModel.",
    **dict.fromkeys(("num_samples", "num_policy_samples", "num_cosines"), "It is an argument of IQNModel."),
    **dict.fromkeys(
        ("entropy_temperature", "munchausen_scale", "log_policy_minimum"),
        "It is an argument of MunchausenDQNModel and MunchausenIQNModel.",
    ),
    **dict.fromkeys(("lambda_", "lam", "gae_lambda", "td_lambda"), "Use trace_decay, of PQNModel."),
    "risk_level": "It is an argument of the models that learn distributions: CategoricalDQNModel, QRDQNModel, IQNModel.",
    "trace_decay": "It is an argument of PQNModel.",
    "rescaling_slope": "It is an argument of R2D2Model.",
    **dict.fromkeys(("sequence_length", "stored_state"), "It belongs to the memory: SequenceReplay(sequence_length=16)."),
    **dict.fromkeys(("lstm", "lstm_size", "use_lstm", "recurrent"), "Use graph_fn, as recurrent(mlp([64]), units=64)."),
    **dict.fromkeys(("double", "double_q", "double_dqn"), "Use double=True, of models of discrete actions."),
    **dict.fromkeys(
        ("exploration_fraction", "exploration_final_eps", "exploration_initial_eps", "epsilon_decay", "epsilon_end"),
        "Use exploration_config, as DecayExplorationConfig().",
    ),
    **dict.fromkeys(
        ("n_step", "n_steps", "n_step_update"), "It belongs to the memory: UniformReplay(size, batch_size, n_step=3)."
    ),
    **dict.fromkeys(
        ("batch_size", "buffer_size", "memory_size"), "It belongs to the memory: UniformReplay(size, batch_size)."
    ),
    **dict.fromkeys(("prioritized", "prioritized_replay"), "Use the memory PrioritizedReplay."),
    **dict.fromkeys(("seed", "random_seed"), "Use RunConfig(seed=...)."),
    "alpha": "Use munchausen_scale, of MunchausenDQNModel. That of priorities belongs to the memory PrioritizedReplay.",
    **dict.fromkeys(("env", "environment"), "Give it to the calls: Agent.train(env), Agent.evaluate(env)."),
    "params": "Read what you need of them in model_fn.",
}
"""What arguments of other libraries' models are called here."""
