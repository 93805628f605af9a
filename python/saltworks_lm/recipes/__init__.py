"""Labels in three third-party trainers: transformers' `Trainer`, torchtitan, Megatron.

    saltworks_lm.recipes.hf_trainer    KdTrainer: a subclass of transformers' `Trainer`
    saltworks_lm.recipes.titan         data loader, loss and `Trainer` of torchtitan 0.3
    saltworks_lm.recipes.megatron      a batch and the loss over it

Each module imports its trainer, so none is imported here. They are short: read them, and adapt a copy if one
does not fit.
"""
