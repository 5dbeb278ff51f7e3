"""The text of ``--help``: groups, keys, and the settings of the parts that the command names."""

from __future__ import annotations

from textwrap import fill

from diffseg import parts
from diffseg.limits import settings_text
from eval.config import RunConfig, config_errors
from experiments.running.arguments import COMMAND, Arguments, parse
from experiments.running.compose import GROUPS

EXAMPLES = f"""\
One row:       {COMMAND} dataset=photos segmenter=diffseg segmenter.tau=0.4
A table:       {COMMAND} experiment=demo
A sweep:       {COMMAND} -m segmenter.tau=0.2,0.3,0.5 results_dir=results/sweep    (adds three rows)
A share:       {COMMAND} experiment=demo shard=2/4 results_dir=results/demo        (of the pictures)
Tables again:  {COMMAND} --tables DIR [protocol=NAME] [older=true] [--coco FOLDER]
Scores again:  {COMMAND} --rescore DIR [protocol=NAME]    (from the kept label maps)
A run again:   {COMMAND} --rerun DIR [key=value ...]
Own parts:     {COMMAND} --config-dir DIR segmenter=mine
Settings:      {COMMAND} --cfg job     (prints the configuration of each row, runs nothing)
A path:        'dataset.root=~/my data (2)'                 (as it is; the quotes are for the shell)
With a comma:  'dataset.root="/data/a,b"'                   (under -m, where a comma separates the values of a sweep)"""
WIDTH = 120


def help_text(arguments: Arguments) -> str:
    """The text of ``--help``: of the parts that the command names, or of the command.

    Raises:
        ConfigError: an argument cannot be read, or there is no such part.
    """
    typed = [
        one for override in arguments.overrides for one in parse(override, swept=True, config_dir=arguments.config_dir)
    ]
    with config_errors():
        named = [_part(one.key, str(one.value), arguments) for one in typed if one.key in GROUPS]
        return "\n\n".join(named or [_command(arguments)])


def _part(group: parts.Group, name: str, arguments: Arguments) -> str:
    """The settings of a part: key, default, limits, meaning."""
    preset = parts.read(group, name, arguments.config_dir)
    kind = parts.kind_of(preset)
    about = (kind.__doc__ or "").partition("\n")[0]
    differing = [f"  {key}: {value}" for key, value in preset.items() if key != "_target_"]
    lines = [f"{group}={name}: {about}", *settings_text(kind, f"{group}.")]
    return "\n".join([*lines, *(["The YAML file sets:", *differing] if differing else [])])


def _command(arguments: Arguments) -> str:
    """Groups with their choices, and keys."""
    lines = [
        "Evaluates DiffSeg and other segmenters on a data set, and writes tables and pictures into results_dir.",
        "",
        "Groups (group=choice), and the keys (group.key=value) of the default choice:",
    ]
    for entry in parts.read_yaml(parts.conf_folder() / "config.yaml")["defaults"]:
        for group, default in entry.items() if isinstance(entry, dict) else ():
            if group in (*GROUPS, "experiment"):
                known = ", ".join(parts.names(group, arguments.config_dir))
                keys = parts.keys_of(parts.read(group, default)["_target_"]) if default else ()
                lines.append(fill(f"  {group}={default or 'NAME'}: {known}", WIDTH, subsequent_indent=" " * 6))
                lines += [fill(f"    {group}.key: {', '.join(keys)}", WIDTH, subsequent_indent=" " * 6)] if keys else []
    lines += [f"Default, limits and meaning of the keys of a part: {COMMAND} segmenter=dbscan --help", ""]
    return "\n".join([*lines, "Other keys (key=value):", *settings_text(RunConfig), "", EXAMPLES])
