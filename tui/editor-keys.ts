/** The keys of the text editor's screen: all of them are its own but those that leave and save. */
import { importCall } from './certificate-keys.js';
import { draftOf, perform, withDocument } from './config/edits.js';
import { withValue } from './config/draft.js';
import { isMap } from './config/schema.js';
import { parsedText, placed } from './config/text.js';
import { editorKey, isChanged, textIn, type Editor } from './editor.js';
import type { Key } from './keys.js';
import { asking } from './acted.js';
import type { Model } from './model.js';
import { editorPage } from './screens/editor.js';
import { scrolled } from './table.js';
import type { Step } from './step.js';

export function editorStep(model: Model, editor: Editor, key: Key): Step {
  if (key.name === 'escape' || (key.ctrl && key.name === 'c')) return leave(model, editor);
  if (key.ctrl && (key.name === 's' || key.name === 'o')) return save(model, editor);
  if (key.ctrl && key.name === 'z') return { model, effects: [{ type: 'suspend' }] };
  if (key.ctrl && key.name === 'l') return { model, effects: [{ type: 'redraw' }] };
  const page = editorPage(model.size.rows);
  const next = editorKey(editor, key, page);
  const scroll = scrolled(model.scroll, next.row, next.lines.length, page);
  return { model: { ...model, editor: next, scroll }, effects: [] };
}

function leave(model: Model, editor: Editor): Step {
  if (!isChanged(editor)) return perform(model, { type: 'close-editor' });
  return {
    model: {
      ...model,
      overlay: {
        kind: 'confirm',
        question: 'Leave the editor, and lose what was typed since it was saved?',
        effects: [],
        then: { type: 'close-editor' },
      },
    },
    effects: [],
  };
}

function save(model: Model, editor: Editor): Step {
  const text = textIn(editor);
  const { purpose } = editor;
  if (purpose.type === 'pem') {
    const { name, replace, authority } = purpose;
    const call = { ...importCall(name, replace, authority), octets: Buffer.from(text) };
    const done = `Imported ${name}.`;
    return asking(model, { type: 'act', call, done, about: 'certificates' });
  }
  const draft = draftOf(model);
  const read = parsedText(text);
  if (!read.ok) return wrong(model, { ...editor, errors: read.errors });
  if (draft === null) return { model, effects: [] };
  const { path } = purpose;
  if (path.length === 0 && !isMap(read.value)) {
    return wrong(model, {
      ...editor,
      errors: [{ line: 1, message: 'the document is a map of keys' }],
    });
  }
  const whole = path.length === 0 && isMap(read.value) ? read.value : null;
  // An empty text takes a part out.
  const value = read.value ?? undefined;
  const document = whole ?? withValue(draft.document, path, value);
  const saved: Editor = { ...editor, saved: text, errors: [] };
  const done = withDocument({ ...model, editor: saved }, document);
  return {
    ...done,
    model: {
      ...done.model,
      notice: { text: 'In the candidate. Esc leaves the editor.', at: model.now },
    },
  };
}

/** To the first line that is wrong. */
function wrong(model: Model, editor: Editor): Step {
  const [first] = editor.errors;
  const row = Math.max(0, Math.min(editor.lines.length - 1, (first?.line ?? 1) - 1));
  return { model: { ...model, editor: { ...editor, row, column: 0 } }, effects: [] };
}

/** What the daemon found in the candidate, at the lines of the text that was saved. */
export function withCheckedLines(model: Model): Model {
  const { editor, draft } = model;
  if (editor === null || editor.purpose.type !== 'yaml' || isChanged(editor)) return model;
  const errors = draft?.check?.errors ?? [];
  const lines = placed(textIn(editor), editor.purpose.path, errors);
  const [first] = lines;
  const row = first === undefined ? editor.row : Math.min(editor.lines.length, first.line) - 1;
  const column = row === editor.row ? editor.column : 0;
  return { ...model, editor: { ...editor, errors: lines, row, column } };
}
