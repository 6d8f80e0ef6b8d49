/** What clicks and the wheel do: as the keys that they stand for. */
import { editorStep } from './editor-keys.js';
import { menuAt } from './menu.js';
import { tableState, type Model } from './model.js';
import type { Mouse } from './mouse.js';
import { overlayKey } from './overlay-keys.js';
import { go, move, screenKey, table } from './screen-keys.js';
import { FORM_ABOVE, formRoom } from './screens/object.js';
import { listing, rowsAbove } from './screens/tables.js';
import type { Key } from './keys.js';
import type { Step } from './step.js';
import { scrolled } from './table.js';

const WHEEL_LINES = 3;

export function mouseStep(model: Model, mouse: Mouse): Step {
  const by = mouse.kind === 'wheel-up' ? -1 : mouse.kind === 'wheel-down' ? 1 : 0;
  const key: Key = { name: by < 0 ? 'up' : 'down', ctrl: false, character: '' };
  if (model.overlay !== null) {
    return by === 0 ? { model, effects: [] } : overlayKey(model, model.overlay, key);
  }
  if (model.place.screen === 'editor' && model.editor !== null) {
    return by === 0 ? { model, effects: [] } : editorStep(model, model.editor, key);
  }
  if (by !== 0) return move(model, by * WHEEL_LINES);
  return mouse.row === 0 ? onMenu(model, mouse.column) : onRow(model, mouse.row - 1);
}

function onMenu(model: Model, column: number): Step {
  const screen = menuAt(model, column);
  return screen === null ? { model, effects: [] } : go(model, { screen, name: '', pool: '' });
}

/** Selects a row; one that is selected already is opened. `line`: of the screen below the menu. */
function onRow(model: Model, line: number): Step {
  const list = listing(model);
  const form = model.place.screen === 'object';
  const above = form ? FORM_ABOVE : rowsAbove(model);
  if (list === null || above === null) return { model, effects: [] };
  const height = model.size.rows - 2;
  const seen = form ? formRoom(height) : Math.max(0, height - above);
  const from = scrolled(tableState(model).top, list.selected, list.keys.length, seen);
  const index = from + line - above;
  const selected = line < above || line >= above + seen ? undefined : list.keys[index];
  if (selected === undefined) return { model, effects: [] };
  const opens: Key = { name: 'return', ctrl: false, character: '' };
  return index === list.selected ? screenKey(model, opens) : table(model, { selected, top: from });
}
