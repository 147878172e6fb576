package direction

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPublicAPI reads every package that others can import: what it exports names no
// type of an internal package, because a caller could not write it down, and everything
// exported has a comment.
func TestPublicAPI(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}}\t{{.Name}}\t{{.Dir}}\t{{join .GoFiles \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		pkg := strings.TrimPrefix(f[0], module)
		if f[1] == "main" || strings.Contains("/"+pkg+"/", "/internal/") {
			continue
		}
		seen++
		for _, file := range strings.Fields(f[3]) {
			for _, problem := range apiProblems(t, filepath.Join(f[2], file)) {
				t.Errorf("%s: %s: %s", pkg, file, problem)
			}
		}
	}
	if seen < 10 {
		t.Errorf("%d public packages, want at least 10", seen)
	}
}

// api looks at the exported part of a file.
type api struct {
	internal map[string]string // packages below an internal folder, by the file's name for them
	problems []string
}

func apiProblems(t *testing.T, path string) []string {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	a := &api{internal: map[string]string{}}
	for _, i := range file.Imports {
		p := strings.Trim(i.Path.Value, `"`)
		if !strings.HasPrefix(p, module) || !strings.Contains(p, "/internal/") {
			continue
		}
		name := p[strings.LastIndex(p, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		a.internal[name] = p
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			a.function(d)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				a.spec(d, s)
			}
		}
	}
	return a.problems
}

func (a *api) function(d *ast.FuncDecl) {
	name := d.Name.Name
	if d.Recv != nil {
		recv := receiver(d.Recv.List[0].Type)
		if !ast.IsExported(recv) {
			return
		}
		name = recv + "." + name
	}
	if !d.Name.IsExported() {
		return
	}
	a.types(name, d.Type)
	// String and the like say by their name what they do.
	wellKnown := []string{"String", "Error", "Unwrap", "MarshalJSON", "UnmarshalJSON", "MarshalYAML", "UnmarshalYAML", "MarshalText", "UnmarshalText"}
	if d.Doc == nil && !slices.Contains(wellKnown, d.Name.Name) {
		a.problems = append(a.problems, name+" has no comment")
	}
}

func (a *api) spec(d *ast.GenDecl, s ast.Spec) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return
		}
		if d.Doc == nil && s.Doc == nil && s.Comment == nil {
			a.problems = append(a.problems, s.Name.Name+" has no comment")
		}
		a.types(s.Name.Name, s.Type)
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if !n.IsExported() {
				continue
			}
			if d.Doc == nil && s.Doc == nil && s.Comment == nil {
				a.problems = append(a.problems, n.Name+" has no comment")
			}
			if s.Type != nil {
				a.types(n.Name, s.Type)
			}
		}
	}
}

// types looks for internal types in what callers see of a type.
func (a *api) types(name string, n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StructType:
			for _, f := range n.Fields.List {
				if visible(f) {
					a.types(name, f.Type)
				}
			}
			return false
		case *ast.InterfaceType:
			for _, m := range n.Methods.List {
				if visible(m) {
					a.types(name, m.Type)
				}
			}
			return false
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && a.internal[x.Name] != "" {
				a.problems = append(a.problems, name+" mentions "+x.Name+"."+n.Sel.Name+" of "+a.internal[x.Name])
			}
		}
		return true
	})
}

// visible says that a field or a method is exported or embedded.
func visible(f *ast.Field) bool {
	return len(f.Names) == 0 || slices.ContainsFunc(f.Names, (*ast.Ident).IsExported)
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
