/** What the candidate changes, as `weir diff` says it; and what is wrong with it. */
import { formatChange } from '../../appliance/config/changes.js';
import type { Change } from '../../appliance/api/contract.js';
import { formatConfigError } from '../../appliance/config/errors.js';
import { plural } from '../../appliance/cli/format.js';
import { heading, span, wrap, type Line, type Look, type Style } from '../frame.js';
import type { Model } from '../model.js';
import { candidateLine } from './config.js';

const STYLES: Readonly<Record<Change['kind'], Style>> = {
  added: 'good',
  removed: 'bad',
  changed: 'warning',
};

export function changeLines(look: Look, changes: readonly Change[], width: number): Line[] {
  return changes.flatMap((change) =>
    wrap(formatChange(change), width - 2).map((text, index): Line => [
      span(look, index === 0 ? text : `  ${text}`, STYLES[change.kind]),
    ]),
  );
}

export function changesScreen(model: Model, width: number): Line[] {
  const { look, draft } = model;
  if (draft === null) {
    return [
      candidateLine(model),
      [],
      [span(look, 'Nothing is changed here: 7 and Enter edit something.')],
    ];
  }
  const { check } = draft;
  if (check === null) return [candidateLine(model)];
  const wrapped = (texts: readonly string[], style: Style): Line[] =>
    texts.flatMap((text) => wrap(text, width - 2).map((line): Line => [span(look, line, style)]));
  const errors = check.errors.map((error) => formatConfigError(error));
  // The refusal is the first of them when there is only one.
  const wrong = [...new Set([...(check.problem === null ? [] : [check.problem]), ...errors])];
  return [
    candidateLine(model),
    ...(check.problem === null
      ? []
      : [heading(look, 'What is wrong', width), ...wrapped(wrong, 'bad')]),
    ...(check.warnings.length === 0
      ? []
      : [heading(look, 'Warnings', width), ...wrapped(check.warnings, 'warning')]),
    ...(check.problem !== null
      ? []
      : [
          heading(
            look,
            `${plural(check.changes.length, 'difference')} to revision ${draft.base ?? 'none'}`,
            width,
          ),
          ...changeLines(look, check.changes, width),
        ]),
  ];
}
