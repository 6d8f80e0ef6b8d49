/**
 * How deeply a YAML text nests, found without recursion and before it is parsed.
 *
 * The parser descends by recursion. A text of nothing but brackets exhausts the stack,
 * and when that happens while V8 compiles a regular expression the process ends without
 * an exception that could be caught. Invariant: no text nested deeper than the bound
 * reaches the parser.
 */
import { CST, Lexer } from 'yaml';

/**
 * Offset of the first place nested deeper than `maximum`, or null when there is none.
 *
 * Counts brackets and braces, and the columns at which blocks begin. Lists may stand in
 * the column of the map around them (YAML 1.2.2 §8.2.3), so blocks can be twice as deep
 * as is counted here: enough for a bound, the reader counts exactly.
 */
export function findTooDeep(text: string, maximum: number): number | null {
  let offset = 0;
  let column = 0;
  let flow = 0;
  let begins = true;
  const columns: number[] = [];

  let marked = false;
  for (const token of new Lexer().lex(text)) {
    // Plain and block scalars follow a mark, whatever they look like.
    const type: CST.TokenType | null = marked ? null : CST.tokenType(token);
    marked = type === 'scalar';
    switch (type) {
      case 'flow-map-start':
      case 'flow-seq-start':
        flow += 1;
        break;
      case 'flow-map-end':
      case 'flow-seq-end':
        flow = Math.max(0, flow - 1);
        break;
      default:
    }
    // Marks that the lexer puts between the tokens; they are no part of the text.
    if (type === 'scalar' || type === 'doc-mode' || type === 'flow-error-end') continue;

    const blank = type === 'space' || type === 'newline' || type === 'comment';
    if (begins && !blank && flow === 0) {
      while ((columns.at(-1) ?? -1) >= column) columns.pop();
      columns.push(column);
      begins = false;
    }
    if (type === 'seq-item-ind' || type === 'explicit-key-ind' || type === 'map-value-ind')
      begins = true;
    if (columns.length + flow > maximum) return offset;

    offset += token.length;
    const newline = token.lastIndexOf('\n');
    column = newline < 0 ? column + token.length : token.length - newline - 1;
    if (newline >= 0) begins = true;
  }
  return null;
}
