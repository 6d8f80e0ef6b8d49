/**
 * What is done to the candidate of a model: changed, taken back, put on another revision, dropped.
 *
 * Invariant: after each change the daemon is asked what it thinks of it.
 */
import { parsePath } from '../../appliance/config/errors.js';
import { entered, type Inner, type Model, type Place } from '../model.js';
import type { Step } from '../step.js';
import { EMPTY_DOCUMENT, edited, isTouched, newDraft, undone, type Draft } from './draft.js';
import { merged } from './merge.js';
import { valueAt, type JsonMap, type Node } from './schema.js';

/** The candidate, or an untouched one on the current revision; null while neither is known. */
export function draftOf({ draft, data }: Model): Draft | null {
  if (draft !== null) return draft;
  const known = data.config?.value;
  if (known === undefined || known === null) return null;
  return newDraft(known.revision, (known.document ?? EMPTY_DOCUMENT) as unknown as JsonMap);
}

export function schemaOf({ data }: Model): Node | null {
  return data.schema?.value ?? null;
}

/** Somebody else's revision, when the candidate stands on another one. */
export function overtaken({ draft, data }: Model): number | null {
  const now = data.status?.value?.revision ?? null;
  return draft !== null && data.status?.value && now !== draft.base ? now : null;
}

function withDraft(model: Model, draft: Draft): Step {
  const { document, serial } = draft;
  const left = withoutGone(model, document);
  if (!isTouched(draft)) return { model: { ...left, draft: null }, effects: [] };
  return { model: { ...left, draft }, effects: [{ type: 'check', document, serial }] };
}

/** Back from the forms of what the document no longer has: to type there would make it again. */
function withoutGone(model: Model, document: JsonMap): Model {
  const isGone = ({ screen, name }: Place): boolean =>
    screen === 'object' && valueAt(document, parsePath(name) ?? []) === undefined;
  if (!isGone(model.place)) return model;
  const kept = model.trail.findLastIndex((place) => !isGone(place));
  const place = model.trail[kept] ?? { screen: 'config', name: '', pool: '' };
  return { ...model, place, trail: model.trail.slice(0, Math.max(0, kept)), scroll: 0 };
}

export function withDocument(model: Model, document: JsonMap): Step {
  const draft = draftOf(model);
  return draft === null ? { model, effects: [] } : withDraft(model, edited(draft, document));
}

export function undo(model: Model): Step {
  return model.draft === null ? { model, effects: [] } : withDraft(model, undone(model.draft));
}

/** On top of the revision that somebody else made; once that is known. */
export function rebase(model: Model): Step {
  const { draft } = model;
  const known = model.data.config?.value;
  if (draft === null || overtaken(model) === null) return { model, effects: [] };
  if (!known || known.revision !== model.data.status?.value?.revision) {
    return { model, effects: [{ type: 'refresh' }] };
  }
  const theirs = (known.document ?? EMPTY_DOCUMENT) as unknown as JsonMap;
  const { document, conflicts } = merged(draft.original, draft.document, theirs);
  const next: Draft = {
    ...newDraft(known.revision, theirs),
    document,
    serial: draft.serial + 1,
  };
  const done = withDraft(model, next);
  const text =
    conflicts.length === 0
      ? `The candidate stands on revision ${known.revision ?? 'none'} now.`
      : `Both changed what follows; the candidate has yours:\n${conflicts.join('\n')}`;
  const overlay = { kind: 'message', title: 'On the new revision', text } as const;
  return { ...done, model: { ...done.model, overlay } };
}

/** After a yes, or as chosen. */
export function perform(model: Model, inner: Inner): Step {
  switch (inner.type) {
    case 'open':
      return { model: { ...model, overlay: inner.overlay }, effects: [] };
    case 'document': {
      const done = withDocument(model, inner.document);
      const { place } = inner;
      return place === undefined ? done : { ...done, model: entered(done.model, place) };
    }
    case 'drop': {
      const left = model.draft === null ? model : withoutGone(model, model.draft.original);
      const notice = { text: 'The candidate is dropped.', at: model.now };
      return { model: { ...left, draft: null, notice }, effects: [] };
    }
    case 'close-editor': {
      const place = model.trail.at(-1) ?? { screen: 'config', name: '', pool: '' };
      return {
        model: { ...model, editor: null, place, trail: model.trail.slice(0, -1) },
        effects: [{ type: 'refresh' }],
      };
    }
  }
}
