/**
 * The keys while something is open over the screen: help, palette, filter, a question, a message.
 */
import { askForWeight } from './acts.js';
import { answered } from './answers.js';
import { askKey } from './ask.js';
import { boxEnd } from './boxes.js';
import { perform } from './config/edits.js';
import type { Key } from './keys.js';
import { loginKey } from './login.js';
import type { Model, Overlay } from './model.js';
import { candidates, completed } from './palette.js';
import { filtered, go, quit, switchMouse } from './screen-keys.js';
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
        : still({ ...model, overlay: scrolledBox(model, overlay, key) });
    case 'confirm':
      if (key.character === 'y') return confirmed(model, overlay);
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
    case 'choose':
      return chooseKey(model, overlay, key, leaves);
    case 'ask': {
      const own = overlay.purpose.type === 'login' ? loginKey(model, key) : null;
      if (own !== null) return own;
      if (leaves) return closed(model);
      const next = askKey(overlay, key);
      return next === 'submitted' ? answered(model, overlay) : still({ ...model, overlay: next });
    }
  }
}

/** Within its lines; what is shorter than the screen does not move. */
function scrolledBox(
  model: Model,
  overlay: Extract<Overlay, { kind: 'help' | 'message' }>,
  { name, character }: Key,
): Overlay {
  const by = name === 'down' || character === 'j' ? 1 : name === 'up' || character === 'k' ? -1 : 0;
  const page = name === 'pagedown' ? 10 : name === 'pageup' ? -10 : by;
  const top = Math.min(boxEnd(model, overlay), (overlay.top ?? 0) + page);
  return { ...overlay, top: Math.max(0, top) };
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

function confirmed(model: Model, { effects, then }: Extract<Overlay, { kind: 'confirm' }>): Step {
  const act = effects.find((effect) => effect.type === 'act');
  const pending = act === undefined ? model.pending : 'Waiting for the daemon.';
  const left: Model = { ...model, overlay: null, pending };
  if (then === undefined) return { model: left, effects };
  const done = perform(left, then);
  return { ...done, effects: [...effects, ...done.effects] };
}

function chooseKey(
  model: Model,
  overlay: Extract<Overlay, { kind: 'choose' }>,
  key: Key,
  leaves: boolean,
): Step {
  const { options, choice } = overlay;
  if (leaves || key.character === 'q') return closed(model);
  const left: Model = { ...model, overlay: null };
  const chosen = options[choice];
  if (isEnter(key) || key.character === ' ') {
    return chosen === undefined ? closed(model) : perform(left, chosen.then);
  }
  const to = (index: number): Step =>
    still({
      ...model,
      overlay: { ...overlay, choice: Math.max(0, Math.min(options.length - 1, index)) },
    });
  if (key.name === 'down' || key.name === 'tab') return to(choice + 1);
  if (key.name === 'up' || key.name === 'backtab') return to(choice - 1);
  if (key.name === 'home') return to(0);
  if (key.name === 'end') return to(options.length - 1);
  if (key.character === '' || key.ctrl) return still(model);
  // The next one that begins with the letter.
  const begins = (index: number): boolean =>
    options[index]?.text.startsWith(key.character) === true;
  const order = options.map((_, index) => (choice + 1 + index) % options.length);
  const found = order.find(begins);
  return found === undefined ? still(model) : to(found);
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
    if (chosen.type === 'mouse') return switchMouse(left);
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
