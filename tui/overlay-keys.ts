/**
 * The keys while something is open over the screen: help, palette, filter, a question, a message.
 */
import { askForWeight } from './acts.js';
import type { Key } from './keys.js';
import type { Effect, Model, Overlay } from './model.js';
import { candidates, completed } from './palette.js';
import { filtered, go, quit } from './screen-keys.js';
import type { Step } from './step.js';

export function overlayKey(model: Model, overlay: Overlay, key: Key): Step {
  if (key.ctrl && key.name === 'z') return { model, effects: [{ type: 'suspend' }] };
  if (key.ctrl && key.name === 'l') return { model, effects: [{ type: 'redraw' }] };
  const leaves = key.name === 'escape' || (key.ctrl && key.name === 'c');
  switch (overlay.kind) {
    case 'help':
    case 'message':
      return leaves ||
        key.name === 'return' ||
        key.name === 'enter' ||
        '?q '.includes(key.character || '!')
        ? closed(model)
        : still(model);
    case 'confirm':
      if (key.character === 'y') return confirmed(model, overlay.effects);
      return leaves || key.character === 'n' || key.character === 'q'
        ? closed(model)
        : still(model);
    case 'filter':
      return filterKey(model, overlay, key, leaves);
    case 'prompt': {
      if (leaves) return closed(model);
      if (isEnter(key)) return still({ ...model, overlay: askForWeight(overlay) });
      return still({
        ...model,
        overlay: { ...overlay, text: edited(overlay.text, key), problem: '' },
      });
    }
    case 'palette':
      return paletteKey(model, overlay, key, leaves);
  }
}

function still(model: Model): Step {
  return { model, effects: [] };
}

function closed(model: Model): Step {
  return still({ ...model, overlay: null });
}

function isEnter({ name }: Key): boolean {
  return name === 'return' || name === 'enter';
}

function edited(text: string, key: Key): string {
  if (key.name === 'backspace') return text.slice(0, -1);
  if (key.ctrl) return key.name === 'u' ? '' : text;
  return text + key.character;
}

function confirmed(model: Model, effects: readonly Effect[]): Step {
  const act = effects.find((effect) => effect.type === 'act');
  const pending = act === undefined ? null : 'Waiting for the daemon.';
  return { model: { ...model, overlay: null, pending }, effects };
}

function filterKey(
  model: Model,
  overlay: Extract<Overlay, { kind: 'filter' }>,
  key: Key,
  leaves: boolean,
): Step {
  if (leaves) return closed(filtered(model, overlay.before));
  if (isEnter(key)) return closed(model);
  if (key.name === 'backspace' && overlay.text === '') return closed(model);
  const text = edited(overlay.text, key);
  return still(filtered({ ...model, overlay: { ...overlay, text } }, text));
}

function paletteKey(
  model: Model,
  overlay: Extract<Overlay, { kind: 'palette' }>,
  key: Key,
  leaves: boolean,
): Step {
  const { text, choice } = overlay;
  if (leaves || (key.name === 'backspace' && text === '')) return closed(model);
  const found = candidates(model, text);
  const at = Math.min(choice, found.length - 1);
  if (isEnter(key)) {
    const chosen = found[at]?.meant;
    if (chosen === undefined) return still(model);
    const left: Model = { ...model, overlay: null };
    if (chosen.type === 'go') return go(left, chosen.place);
    if (chosen.type === 'open') return still({ ...model, overlay: chosen.overlay });
    return chosen.effect.type === 'quit' ? quit(left) : { model: left, effects: [chosen.effect] };
  }
  const choose = (to: number): Step => {
    const next = Math.max(0, Math.min(found.length - 1, to));
    return still({ ...model, overlay: { ...overlay, choice: next } });
  };
  if (key.name === 'down') return choose(at + 1);
  if (key.name === 'up') return choose(at - 1);
  const typed = key.name === 'tab' ? completed(model, text) : edited(text, key);
  return still({ ...model, overlay: { kind: 'palette', text: typed, choice: 0 } });
}
