/**
 * The whole screen for a size: menu, the screen itself, what is open over it, and the last line.
 *
 * Invariant: exactly `rows` lines of exactly `columns` cells, whatever the data.
 */
import { duration } from '../appliance/cli/format.js';
import { fit, inStyle, span, widthOf, wrap, type Line, type Span } from './frame.js';
import { boxed, boxHeight, boxWidth } from './boxes.js';
import { loginOf, meOf } from './login.js';
import { menuParts } from './menu.js';
import type { Model, Overlay } from './model.js';
import { candidates } from './palette.js';
import { certificateScreen } from './screens/certificates.js';
import { changesScreen } from './screens/changes.js';
import { memberScreen, poolScreen, serviceScreen } from './screens/details.js';
import { editorScreen } from './screens/editor.js';
import { eventScreen } from './screens/events.js';
import { revisionScreen } from './screens/history.js';
import { liveScreen } from './screens/live.js';
import { objectScreen } from './screens/object.js';
import { overviewLines } from './screens/overview.js';
import { networkScreen } from './screens/network.js';
import { systemScreen } from './screens/system.js';
import { sheetOf, tableScreen } from './screens/tables.js';
import { tierScreen } from './screens/tiers.js';
import { wizardScreen } from './screens/wizard.js';

export const SMALLEST = { columns: 60, rows: 15 } as const;

/** Silence of the daemon from which its age is shown, and from which it is called slow. */
const AGE_SHOWN_MS = 3000;
const SLOW_MS = 6000;

export function view(model: Model): Line[] {
  const { columns, rows } = model.size;
  if (columns < SMALLEST.columns || rows < SMALLEST.rows) return tooSmall(model);
  const height = rows - 2;
  const screen = screenLines(model, columns, height).slice(0, height);
  const body = Array.from({ length: height }, (_, row) =>
    fit(model.look, screen[row] ?? [], columns),
  );
  return [menuLine(model), ...overlaid(model, body), lastLine(model)];
}

function tooSmall({ size: { columns, rows }, look }: Model): Line[] {
  const text = `${columns}x${rows} is too small: at least ${SMALLEST.columns}x${SMALLEST.rows}. q quits.`;
  const lines = wrap(text, Math.max(1, columns));
  return Array.from({ length: rows }, (_, row) =>
    fit(look, [span(look, lines[row] ?? '')], columns),
  );
}

/** Screens that are text are scrolled as a whole; tables scroll within. */
function screenLines(model: Model, width: number, height: number): Line[] {
  switch (model.place.screen) {
    case 'overview':
      return overviewLines(model, width, height);
    case 'services':
    case 'pools':
    case 'members':
      return tableScreen(model, width, height);
    case 'events':
      return eventScreen(model, width, height);
    case 'pool':
      return poolScreen(model, width, height);
    case 'object':
      return objectScreen(model, width, height);
    case 'editor':
      return editorScreen(model, width, height);
    case 'wizard':
      return wizardScreen(model, width, height);
    case 'live':
      return liveScreen(model, width, height);
    default: {
      const sheet = sheetOf(model);
      if (sheet !== null) return sheet.lines(width, height);
      const lines = textLines(model, width);
      const from = Math.max(0, Math.min(model.scroll, lines.length - height));
      return lines.slice(from);
    }
  }
}

/** All lines of a screen that is text; none of others. */
export function textLines(model: Model, width: number): Line[] {
  switch (model.place.screen) {
    case 'tiers':
      return tierScreen(model, width);
    case 'service':
      return serviceScreen(model, width);
    case 'member':
      return memberScreen(model, width);
    case 'changes':
      return changesScreen(model, width);
    case 'revision':
      return revisionScreen(model, width);
    case 'certificate':
      return certificateScreen(model, width);
    case 'network':
      return networkScreen(model, width);
    case 'system':
      return systemScreen(model, width);
    default:
      return [];
  }
}

function menuLine(model: Model): Line {
  const text = menuParts(model)
    .map((part) => part.text)
    .join('');
  const { look, size } = model;
  const who = whoText(model);
  const room = size.columns - text.length - who.length;
  const line = room < 1 ? text : `${text}${' '.repeat(room)}${who}`;
  return inStyle(fit(look, [span(look, line)], size.columns), 'bar');
}

/** Whether the first line has room for who is logged in; the last one says it else. */
function menuShows(model: Model): boolean {
  const length = menuParts(model).reduce((sum, { text }) => sum + text.length, 0);
  return length + whoText(model).length < model.size.columns;
}

/** Who is logged in; nothing of who did not have to. */
function whoText(model: Model): string {
  const me = meOf(model);
  return me === null || me.via === 'root' || me.via === 'local' ? '' : `${me.name} ${me.role} `;
}

/** Unit, revision and the link on the left; keys, or what came of the last change, on the right. */
function lastLine(model: Model): Line {
  const { look, size, overlay, notice, pending } = model;
  if (overlay?.kind === 'palette') return inputLine(model, ':', overlay.text);
  if (overlay?.kind === 'filter') return inputLine(model, '/', overlay.text);
  const status = model.data.status?.value ?? null;
  const unit = status === null ? 'Weir' : status.unit || '(no name yet)';
  const revision =
    status === null || status.revision === null ? '' : `  revision ${status.revision}`;
  const link = linkState(model);
  const who = whoText(model);
  const shown = menuShows(model);
  const left = span(
    look,
    ` ${unit}${revision}  ${who === '' || shown ? '' : `${who} `}${link.text}`,
    'bar',
  );
  const words = pending ?? notice?.text ?? countdown(model) ?? standing(model);
  const room = size.columns - left.text.length - 3;
  const right = span(look, `${words} `, 'bar');
  if (right.text.length > room) {
    // What came of a change matters more than the rest.
    const first = pending === null && notice === null ? left : span(look, ` ${words}`, 'bar');
    return inStyle(fit(look, [first], size.columns), 'bar');
  }
  const gap = ' '.repeat(size.columns - left.text.length - right.text.length);
  return [{ text: `${left.text}${gap}${right.text}`, style: 'bar' }];
}

/** How long the revision that waits for confirmation still holds. */
function countdown({ data, now }: Model): string | null {
  const answer = data.status;
  const waits = answer?.value?.pendingConfirm ?? null;
  if (answer === undefined || waits === null) return null;
  const left = Math.max(0, waits.secondsLeft - Math.floor((now - answer.at) / 1000));
  return `revision ${waits.revision} goes back in ${left} s, K keeps it`;
}

function standing(model: Model): string {
  const { draft } = model;
  if (loginOf(model) !== null) return '';
  if (draft === null) return '? keys  : command  q quit';
  return `uncommitted changes (revision ${draft.base ?? 'none'})  ? keys`;
}

/** In words, with the age of what is seen once it is not fresh. */
function linkState(model: Model): { readonly text: string } {
  const { link, now, look, data } = model;
  if (loginOf(model) !== null && link.state !== 'lost') return { text: 'not logged in' };
  const sign = (shape: string, ascii: string): string => (look.unicode ? shape : ascii);
  const silent = now - (data.status?.at ?? link.since);
  if (link.state === 'connecting') return { text: `${sign('◐', '-')} connecting` };
  if (link.state === 'lost') {
    return {
      text: `${sign('✖', 'x')} NOT CONNECTED${data.status === undefined ? '' : `, seen ${duration(silent)} ago`}`,
    };
  }
  if (silent > SLOW_MS) return { text: `${sign('▲', '!')} daemon SILENT for ${duration(silent)}` };
  if (silent > AGE_SHOWN_MS)
    return { text: `${sign('●', '+')} connected, seen ${duration(silent)} ago` };
  return { text: `${sign('●', '+')} connected` };
}

function inputLine({ look, size }: Model, sign: string, text: string): Line {
  const shown = span(look, `${sign}${text}`);
  const room = size.columns - 1;
  const cut = shown.text.length > room ? shown.text.slice(-room) : shown.text;
  return fit(
    look,
    [
      { text: cut, style: 'bold' },
      { text: ' ', style: 'selected' },
    ],
    size.columns,
  );
}

function overlaid(model: Model, body: Line[]): Line[] {
  const { overlay, look, size } = model;
  if (overlay === null || overlay.kind === 'filter') return body;
  if (overlay.kind === 'palette') return paletteOver(model, body, overlay);
  const width = boxWidth(model) + 4;
  const room = boxHeight(model);
  const { title, lines } = boxed(model, overlay, boxWidth(model), room);
  const first = 'top' in overlay ? Math.min(overlay.top ?? 0, Math.max(0, lines.length - room)) : 0;
  const more = lines.length > room ? `${title} (Down: more)` : title;
  const block = frameOf(look.unicode, more, lines.slice(first, first + room), width);
  const top = Math.max(0, Math.floor((body.length - block.length) / 2));
  return over(body, block, Math.floor((size.columns - width) / 2), top);
}

const MOST_CANDIDATES = 10;

function paletteOver(
  model: Model,
  body: Line[],
  overlay: Extract<Overlay, { kind: 'palette' }>,
): Line[] {
  const { look, size } = model;
  const found = candidates(model, overlay.text);
  const most = Math.min(MOST_CANDIDATES, body.length - 2);
  const choice = Math.min(overlay.choice, found.length - 1);
  const from = Math.max(0, choice - most + 1);
  const lines = found.slice(from, from + most).map(({ text, does }, index): Line => {
    const line: Line = [span(look, text.padEnd(28), 'bold'), span(look, ` ${does}`)];
    const full = fit(look, line, Math.min(size.columns, 76) - 4);
    return from + index === choice ? inStyle(full, 'selected') : full;
  });
  const shown = lines.length === 0 ? [[span(look, 'No such command.', 'bad')]] : lines;
  const more = found.length > most ? ` (${found.length})` : '';
  const block = frameOf(look.unicode, `Commands${more}`, shown, Math.min(size.columns, 76));
  return over(body, block, 0, body.length - block.length);
}

function frameOf(unicode: boolean, title: string, lines: readonly Line[], width: number): Line[] {
  const [h, v, tl, tr, bl, br] = unicode ? '─│┌┐└┘' : '-|++++';
  const rule = h ?? '-';
  const side: Span = { text: v ?? '|', style: 'accent' };
  const blank: Span = { text: ' ', style: 'plain' };
  const head = `${tl}${rule} ${title} `;
  return [
    [{ text: `${head}${rule.repeat(Math.max(0, width - head.length - 1))}${tr}`, style: 'accent' }],
    ...lines.map((line) => [side, blank, ...fit({ unicode }, line, width - 4), blank, side]),
    [{ text: `${bl}${rule.repeat(width - 2)}${br}`, style: 'accent' }],
  ];
}

function over(body: readonly Line[], block: readonly Line[], x: number, y: number): Line[] {
  return body.map((line, row) => {
    const part = block[row - y];
    if (part === undefined) return line;
    const width = widthOf(part);
    return [...slice(line, 0, x), ...part, ...slice(line, x + width, widthOf(line))];
  });
}

function slice(line: Line, from: number, to: number): Line {
  const out: Span[] = [];
  let at = 0;
  for (const { text, style } of line) {
    const cut = text.slice(Math.max(0, from - at), Math.max(0, to - at));
    if (cut !== '') out.push({ text: cut, style });
    at += text.length;
  }
  return out;
}
